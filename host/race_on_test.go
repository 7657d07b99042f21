//go:build race

package host_test

const raceEnabled = true

// slack is how much longer than by themselves things may take.
const slack = 10

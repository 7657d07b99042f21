//go:build !race

package host_test

const raceEnabled = false

// slack is how much longer than by themselves things may take.
const slack = 1

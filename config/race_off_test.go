//go:build !race

package config_test

// slowdown is what the race detector costs.
const slowdown = 1

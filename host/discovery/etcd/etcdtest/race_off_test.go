//go:build !race

package etcdtest_test

// slack is how much longer than by themselves things may take; parallel is how many tests wait at once.
const (
	slack    = 1
	parallel = "8"
)

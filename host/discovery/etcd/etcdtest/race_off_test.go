//go:build !race

package etcdtest_test

const (
	slack      = 3    // how much longer than by themselves things may take while other packages are tested, too
	parallel   = "16" // how many tests wait at once
	callsEach  = 20   // of a thousand callers
	evenWithin = 0.25 // what a host may have more or fewer calls than its share
)

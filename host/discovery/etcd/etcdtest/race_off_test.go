//go:build !race

package etcdtest_test

const (
	slack      = 3    // factor for timeouts while other packages are tested, too
	parallel   = "16" // tests that run at once
	callsEach  = 20   // of a thousand callers
	evenWithin = 0.25 // deviation from an even share of calls
)

//go:build race

package etcdtest_test

const (
	slack      = 10  // factor for timeouts
	parallel   = "6" // tests that run at once
	callsEach  = 5   // of a thousand callers
	evenWithin = 0.5 // deviation from an even share of calls
)

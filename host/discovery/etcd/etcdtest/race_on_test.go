//go:build race

package etcdtest_test

const (
	slack      = 10  // how much longer than by themselves things may take
	parallel   = "6" // how many tests wait at once
	callsEach  = 5   // of a thousand callers
	evenWithin = 0.5 // what a host may have more or fewer calls than its share
)

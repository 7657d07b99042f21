package wiretest

import "testing"

// Whoever asks for two addresses listens at neither of them yet.
func TestNoAddressIsReturnedTwice(t *testing.T) {
	given := map[string]bool{}
	for range 2000 { // of 20,000: some would be drawn twice
		given[Address(t)] = true
	}
	if len(given) != 2000 {
		t.Errorf("%d of 2000 addresses were given before", 2000-len(given))
	}
}

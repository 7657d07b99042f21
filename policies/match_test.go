package policies

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	for _, test := range []struct{ network, in, out string }{
		{"10.0.0.0/8", "10.255.0.1", "11.0.0.1"},
		{"10.1.2.3/8", "10.0.0.1", "11.0.0.1"},
		{"10.0.0.1", "10.0.0.1", "10.0.0.2"},
		{"::ffff:10.0.0.0/104", "10.0.0.1", "11.0.0.1"},
		{"2001:db8::/32", "2001:db8::1", "10.0.0.1"},
		{"0.0.0.0/0", "10.0.0.1", "2001:db8::1"},
	} {
		n, err := parseNetworks([]string{test.network})
		if err != nil {
			t.Fatal(err)
		}
		if !contains(n, netip.MustParseAddr(test.in)) || contains(n, netip.MustParseAddr(test.out)) || contains(n, netip.Addr{}) {
			t.Errorf("%s", test.network)
		}
	}
	for _, bad := range []string{"10.0.0.0/33", "host", ""} {
		if _, err := parseNetwork(bad); err == nil || !strings.Contains(err.Error(), "peer") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

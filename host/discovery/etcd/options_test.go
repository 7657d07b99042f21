package etcd

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestEndpointsThatTheManifestRefusesAreRefused(t *testing.T) {
	for _, tc := range []struct {
		url  string
		tls  bool
		want string // none: accepted
	}{
		{url: "http://127.0.0.1:2379"},
		{url: "https://etcd.internal:2379/"},
		{url: "https://[::1]:2379", tls: true},
		{url: "HTTP://etcd"},
		{url: "ftp://x", want: "etcd: endpoint ftp://x: the scheme must be http or https"},
		{url: "etcd:2379", want: `etcd: endpoint "etcd:2379" is not a URL such as http://127.0.0.1:2379`},
		{url: "", want: `etcd: endpoint "" is not a URL`},
		{url: "http://", want: "no host"},
		{url: "http://:2379", want: "no host"},
		{url: "http://ann:s3cret@x:1", want: "etcd: endpoint http://x:1 contains credentials: use Username and Password"},
		{url: "ftp://ann:s3cret@x:1", want: "http or https"},
		{url: "ann:s3cret@x:1", want: "is not a URL"},
		{url: "http://ann:s3cret@x:port", want: "is not a URL"},
		{url: "http://x:1/services", want: "more than host and port"},
		{url: "http://x:1?token=s3cret", want: "more than host and port"},
		{url: "http://x:1", tls: true, want: "is http although TLS is set"},
	} {
		o := Options{Endpoints: []string{"https://first", tc.url}}
		if tc.tls {
			o.TLS = &tls.Config{}
		}
		c, err := New(o)
		switch {
		case tc.want == "" && err == nil:
			_ = c.Close()
		case err == nil || tc.want == "" || !strings.Contains(err.Error(), tc.want):
			t.Errorf("%q: %v, want %q", tc.url, err, tc.want)
		case strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%q: %v contains the password", tc.url, err)
		case !strings.HasPrefix(err.Error(), "etcd: "):
			t.Errorf("%q: %q begins with a name that is not there", tc.url, err)
		}
	}
}

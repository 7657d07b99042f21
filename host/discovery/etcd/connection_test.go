package etcd

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestAMismatchOfTLSIsExplained(t *testing.T) {
	closing := wiretest.Meet(t, func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1)) }) // ends a handshake like an etcd without TLS
	plain := httptest.NewServer(http.NotFoundHandler())
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.EnableHTTP2 = true
	secured.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secured.StartTLS()
	t.Cleanup(func() { plain.Close(); secured.Close() })
	for name, tc := range map[string]struct{ url, want string }{
		"https without TLS":           {"https://" + closing, "try http://"},
		"https to an HTTP server":     {"https://" + plain.Listener.Addr().String(), "try http://"},
		"a certificate of an unknown": {secured.URL, "certificate"},
		"http to a TLS server":        {"http://" + secured.Listener.Addr().String(), "try https://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each takes as long as a call may
			o := Options{Endpoints: []string{tc.url}}
			if strings.HasPrefix(tc.url, "https") {
				o.TLS = &tls.Config{}
			}
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			err = c.Ping(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
			if tc.want == "certificate" && strings.Contains(err.Error(), "try https") {
				t.Errorf("%v leads astray", err)
			}
		})
	}
}

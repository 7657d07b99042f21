package listen

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
)

// Whoever opens all connections that there may be shuts out neither kubelets nor operators, nor cuts those that are answered.
func TestOperatorsAreAnsweredBesideIdleConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var noted sync.Map
	a := newOutages(slog.New(slog.DiscardHandler), func(_, reason string) { noted.Store(reason, true) })
	defer a.close()
	l := newAdminListener(ln, "health", &Listeners{outages: a, held: released()})
	l.max = 4
	begun, end := make(chan struct{}, 10), make(chan struct{})
	server := admin.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if r.URL.Path == "/profile" {
				begun <- struct{}{}
				<-end
			}
		}), w, r)
	}), nil)
	server.ConnState, server.ConnContext = l.state, l.withConn
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	defer served.Wait()
	defer server.Close()

	dial := func(text string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
	answered := func(r *bufio.Reader) bool {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	const get = " HTTP/1.1\r\nHost: x\r\n\r\n"
	_, profile := dial("GET /profile" + get)
	<-begun
	for range 20 {
		_, idle := dial("GET /livez" + get) // and is kept open
		if !answered(idle) {
			t.Fatal("not answered beside idle connections")
		}
	}
	for range 20 {
		dial("")    // says nothing
		dial("GET") // does not end
	}
	_, probe := dial("GET /livez" + get)
	if !answered(probe) {
		t.Error("not answered beside requests that do not end")
	}
	l.mu.Lock()
	if n := len(l.open); n > l.max {
		t.Errorf("%d connections are open", n)
	}
	l.mu.Unlock()
	close(end)
	if !answered(profile) {
		t.Error("what was being answered was cut")
	}
	if _, ok := noted.Load(acceptTooMany); !ok {
		t.Error("nothing is counted")
	}
}

package admin

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// lines passes on each line that is logged.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(bytes.Clone(b))
	return len(b), nil
}

func TestAPeerOfAdminCannotWriteLongLinesIntoTheLog(t *testing.T) {
	logged := make(lines, 10)
	server := NewServer(http.NotFoundHandler(), slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = server.Serve(tls.NewListener(ln, &tls.Config{NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{{}}}))
	})
	defer serving.Wait()
	defer server.Close()
	c := &tls.Config{InsecureSkipVerify: true}
	for range 200 {
		c.NextProtos = append(c.NextProtos, strings.Repeat("\x01", 255))
	}
	if _, err := tls.Dial("tcp", ln.Addr().String(), c); err == nil {
		t.Fatal("the handshake succeeds")
	}
	if line := <-logged; !strings.Contains(line, "TLS handshake error") || len(line) > 2<<10 {
		t.Errorf("%d bytes: %.200s", len(line), line)
	}
}

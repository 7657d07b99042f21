package wire_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestManyBadPeersCauseFewLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := wire.NewServer(wire.ServerOptions{
			Handler: wire.HandlerFunc(echo), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := wiretest.Listen(), make(chan error, 1)
		go func() { done <- s.Serve(ctx, ln) }()
		bad := func(n int) {
			for range n {
				c, err := ln.Dial(ctx)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
				synctest.Wait()
				_ = c.Close()
			}
		}
		bad(100)
		time.Sleep(time.Second)
		bad(1)
		cancel()
		<-done
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], "reason=bad_magic") || !strings.Contains(lines[0], "peer=127.0.0.1") ||
			!strings.Contains(lines[1], "peer=127.0.0.1") || !strings.HasSuffix(lines[2], `msg="connection cut" reason=bad_magic suppressed=99`) {
			t.Errorf("%d lines for 101 bad peers:\n%s", len(lines), strings.Join(lines, "\n"))
		}
	})
}

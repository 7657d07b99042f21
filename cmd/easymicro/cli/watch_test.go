package cli_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
)

// status --watch survives a temporarily unreachable host, and ends with its context.
func TestWatchRetriesAnUnreachableHost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			defer cancel()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"host":"desk-1","ready":true,"watch":{"healthy":true}}`))
	})}
	var wait sync.WaitGroup
	wait.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() {
		_ = server.Close()
		wait.Wait()
	})
	var out, errs bytes.Buffer
	args := []string{"status", "--watch", "--admin", ln.Addr().String()}
	if exit := cli.Run(ctx, args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs}); exit != cli.ExitOK {
		t.Errorf("exits with %d: %s", exit, &errs)
	}
	if n := strings.Count(out.String(), "desk-1"); n < 1 || asked.Load() < 3 {
		t.Errorf("shown %d times, asked %d times:\n%s", n, asked.Load(), &out)
	}
	if !strings.Contains(errs.String(), "cannot reach") {
		t.Errorf("does not report the unreachable host: %s", &errs)
	}
}

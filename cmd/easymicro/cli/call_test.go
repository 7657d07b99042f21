package cli_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
)

// peer accepts connections and treats each as it is told.
func peer(t *testing.T, treat func(net.Conn)) (address string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			treat(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// Whatever is at the other end, call ends in time, says what it met, and tells it by its exit code.
func TestCallOfWhatIsNoService(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	hangUp := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
	other := func(c net.Conn) {
		_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
		_, _ = io.Copy(io.Discard, c)
	}
	for _, tt := range []struct {
		name  string
		treat func(net.Conn)
		http  bool
		exit  int
		want  string
	}{
		{"silent", silent, false, cli.ExitAnswered, "DEADLINE_EXCEEDED: no answer from ADDRESS within 500ms"},
		{"silent over HTTP", silent, true, cli.ExitAnswered, "DEADLINE_EXCEEDED: no answer from ADDRESS within 500ms"},
		{"hangs up", hangUp, false, cli.ExitUnreachable, "no answer from ADDRESS: connection lost"},
		{"hangs up over HTTP", hangUp, true, cli.ExitUnreachable, "nobody answers at ADDRESS: "},
		{"something else", other, false, cli.ExitUnreachable, "no answer from ADDRESS: connection lost: what the peer sends is no frame"},
		{"something else over HTTP", other, true, cli.ExitUnreachable, "nobody answers at ADDRESS: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := peer(t, tt.treat)
			timeout := "10s"
			if tt.exit == cli.ExitAnswered {
				timeout = "500ms"
			}
			args := []string{"call", "A.B", "--address", address, "--timeout", timeout}
			if tt.http {
				args = append(args, "--http")
			}
			var out, errs bytes.Buffer
			exit := cli.Run(t.Context(), args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs})
			want := "easymicro: " + strings.ReplaceAll(tt.want, "ADDRESS", address)
			if exit != tt.exit || out.Len() > 0 || !strings.HasPrefix(errs.String(), want) {
				t.Errorf("exits with %d, want %d: %s%s, want %s", exit, tt.exit, &out, &errs, want)
			}
		})
	}
}

// silent is an input that never comes, and whose reader is heard of.
type silent struct {
	read func()
	over chan struct{}
}

func (s silent) Read([]byte) (int, error) {
	s.read()
	<-s.over
	return 0, io.EOF
}

func TestACallThatWaitsForItsArgumentEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := silent{cancel, make(chan struct{})}
	defer close(in.over)
	var out, errs bytes.Buffer
	exit := cli.Run(ctx, []string{"call", "A.B", "-", "--address", "127.0.0.1:1"}, cli.IO{In: in, Out: &out, Err: &errs})
	if exit != cli.ExitFailed || !strings.Contains(errs.String(), "standard input cannot be read: context canceled") {
		t.Errorf("exits with %d: %s", exit, &errs)
	}
}

package cli_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/wire"
)

// peer accepts connections and passes each to a function.
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

// Whatever the server does, call ends in time, with a message and an exit code.
func TestCallOfOtherServers(t *testing.T) {
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
		{"hangs up over HTTP", hangUp, true, cli.ExitUnreachable, "no answer from ADDRESS: "},
		{"something else", other, false, cli.ExitUnreachable, "no answer from ADDRESS: connection lost: bad frame: bad_magic"},
		{"something else over HTTP", other, true, cli.ExitUnreachable, "no answer from ADDRESS: "},
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
			if exit != tt.exit || out.Len() > 0 || !strings.HasPrefix(errs.String(), want) || tt.name == "something else" && !strings.Contains(errs.String(), "use --http") {
				t.Errorf("exits with %d, want %d: %s%s, want %s", exit, tt.exit, &out, &errs, want)
			}
		})
	}
}

// silent is an input without data that reports reads.
type silent struct {
	read func()
	over chan struct{}
}

func (s silent) Read([]byte) (int, error) {
	s.read()
	<-s.over
	return 0, io.EOF
}

func TestCallEndsWithItsContextWhileItReadsTheArgument(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := silent{cancel, make(chan struct{})}
	defer close(in.over)
	var out, errs bytes.Buffer
	exit := cli.Run(ctx, []string{"call", "A.B", "-", "--address", "127.0.0.1:1"}, cli.IO{In: in, Out: &out, Err: &errs})
	if exit != cli.ExitFailed || !strings.Contains(errs.String(), "standard input cannot be read: context canceled") {
		t.Errorf("exits with %d: %s", exit, &errs)
	}
}

// The gateways of rpcx and the original easymicro send errors in headers, sometimes with status 200.
func TestCallOverHTTPShowsErrorsOfOtherGateways(t *testing.T) {
	for answer, want := range map[string]string{
		"200 OK\r\nX-RPCX-MessageStatusType: Error\r\nX-RPCX-ErrorMessage: divide by zero\r\n":       "divide by zero",
		"200 OK\r\nEasymicro-MessageStatusType: Error\r\nEasymicro-ErrorMessage: divide by zero\r\n": "divide by zero",
		"200 OK\r\nX-RPCX-MessageStatusType: Error\r\n":                                              "the call failed; the gateway gave no reason",
		"500 Internal Server Error\r\nX-RPCX-ErrorMessage: rpcx: can't find service Arith\r\n":       "rpcx: can't find service Arith",
		"500 Internal Server Error\r\n":                                                              "500 Internal Server Error",
		"200 OK\r\nX-RPCX-MessageStatusType: Normal\r\nX-RPCX-Version: 0\r\n":                        "",
	} {
		asked := make(chan string, 1)
		address := peer(t, func(c net.Conn) {
			head := make([]byte, 4<<10)
			n, _ := c.Read(head)
			asked <- string(head[:n])
			_, _ = io.WriteString(c, "HTTP/1.1 "+answer+"Content-Length: 0\r\n\r\n")
		})
		var out, errs bytes.Buffer
		exit := cli.Run(t.Context(), []string{"call", "A.B", "--http", "--address", address, "--timeout", "3s"}, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs})
		if want == "" && exit != 0 || want != "" && (exit != cli.ExitAnswered || !strings.Contains(errs.String(), want)) {
			t.Errorf("%q: exits with %d: %s", answer, exit, &errs)
		}
		if head := <-asked; !strings.Contains(head, "X-Request-Timeout: 3s\r\n") {
			t.Errorf("the gateway does not get the timeout of call: %q", head)
		}
	}
}

// The peer must advertise zstd first.
func TestCallSendsZstdOnlyToPeersThatAdvertiseIt(t *testing.T) {
	for name, tc := range map[string]struct {
		advertised wire.Metadata
		want       wire.Compression
		note       bool
	}{
		"one of ours":  {wire.Metadata{{wire.MetaHost, "h"}, {wire.MetaAcceptCompression, "gzip,zstd"}}, wire.Zstd, false},
		"a stock peer": {nil, wire.Gzip, true},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan wire.Compression, 1)
			address := peer(t, func(c net.Conn) {
				in := wire.NewReader(c, wire.Limits{})
				for f := new(wire.Frame); in.Read(f) == nil; {
					if f.Type = wire.Response; f.Heartbeat {
						f.Metadata = append(f.Metadata[:0], tc.advertised...)
					} else {
						sent <- f.Compression
						f.Metadata = nil
					}
					_, _ = c.Write(wire.AppendFrame(nil, f))
				}
			})
			var out, errs bytes.Buffer
			exit := cli.Run(t.Context(), []string{"call", "Desk.Echo", strings.Repeat("x", 4000), "--address", address, "--codec", "raw", "--compress", "zstd"},
				cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs})
			if exit != 0 || out.Len() != 4000 {
				t.Fatalf("exit %d:\n%s%s", exit, &out, &errs)
			}
			if got := <-sent; got != tc.want || strings.Contains(errs.String(), "is sent with gzip") != tc.note {
				t.Errorf("%s was sent\n%s", got, &errs)
			}
		})
	}
}

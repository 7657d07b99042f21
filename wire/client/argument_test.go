package client

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestArgumentThatCannotBeEncodedIsABadPayloadThatWasNotRun(t *testing.T) {
	for _, codec := range []string{"json", "msgpack", "protobuf", "thrift", "raw"} {
		names := newNames()
		c := newClient(t, Options{Resolver: names, Codec: codec})
		err := c.Call(t.Context(), "Arith", "Mul", make(chan int), nil)
		e := wantError(t, err, code.InvalidArgument, code.ReasonBadPayload)
		if !strings.HasPrefix(e.Message, "the argument of Arith.Mul: ") || !code.NotRun(e.Reason) {
			t.Errorf("%s: %q", codec, e.Message)
		}
		if names.count() != 0 {
			t.Errorf("%s: it is looked up where to send it", codec)
		}
		p := <-c.Go(t.Context(), "Arith", "Mul", make(chan int), nil, nil).Done
		wantError(t, p.Err, code.InvalidArgument, code.ReasonBadPayload)
		wantError(t, c.Notify(t.Context(), "Arith", "Mul", make(chan int)), code.InvalidArgument, code.ReasonBadPayload)
	}
}

func TestAMissingHashFieldIsLoggedOncePerType(t *testing.T) {
	type has struct{ User string }
	type lacks struct{ ID int }
	var log bytes.Buffer
	c := newClient(t, Options{
		Resolver: newNames(), Policy: ConsistentHash, HashOn: "argument.user_id", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	type fits struct{ UserID string }
	for range 3 {
		for _, args := range []any{fits{"ann"}, &fits{}, nil, (*lacks)(nil), map[string]int{"other": 1}, has{}, &lacks{}, lacks{}, 7} {
			_ = c.Call(t.Context(), "Arith", "Mul", args, nil)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want one for each of three types:\n%s", len(lines), log.String())
	}
	for i, of := range []string{"type=client.has", "type=client.lacks", "type=int"} {
		for _, want := range []string{"level=WARN", of, "hash_on=argument.user_id", "p2c"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%s does not say %s", lines[i], want)
			}
		}
	}
}

func TestTypesMadeAtRunTimeDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	c := newClient(t, Options{
		Resolver: newNames(), Policy: ConsistentHash, HashOn: "argument.ID", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for i := range 3 * maxHashWarnings {
		made := reflect.StructOf([]reflect.StructField{{Name: "F" + strconv.Itoa(i), Type: reflect.TypeFor[int]()}})
		_ = c.Call(t.Context(), "Arith", "Mul", reflect.Zero(made).Interface(), nil)
	}
	if n := strings.Count(log.String(), "\n"); n != maxHashWarnings {
		t.Errorf("%d lines, want %d", n, maxHashWarnings)
	}
}

func TestTLSToAPlainServerIsExplained(t *testing.T) {
	for name, answer := range map[string]string{"that hangs up": "", "that resets": "reset", "that answers": "HTTP/1.1 400 Bad Request\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			address := wiretest.Meet(t, func(nc net.Conn) {
				if answer == "reset" {
					_, _ = nc.Read(make([]byte, 1))
				} else {
					_, _ = nc.Read(make([]byte, 1<<16))
					_, _ = io.WriteString(nc, answer)
				}
			})
			c := newClient(t, Options{Resolver: serving(address), TLS: &tls.Config{}, ConnectTimeout: 10 * time.Second})
			e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
			if want := "does the server's port use TLS?"; !strings.Contains(e.Message, want) {
				t.Errorf("%q does not say %q", e.Message, want)
			}
		})
	}
}

// loop is a value that can contain itself.
type loop struct {
	Next *loop
	Any  any
}

func TestCyclicArgumentsFailOnlyTheirCalls(t *testing.T) {
	ring := new(loop)
	ring.Next = ring
	m := map[string]any{}
	m["m"] = m
	var deep *loop
	for range 100_000 {
		deep = &loop{Next: deep}
	}
	var doubled any = []any{}
	for range 40 {
		doubled = []any{doubled, doubled}
	}
	srv := newServer(t, mul)
	for _, codec := range []string{"json", "msgpack"} {
		c := newClient(t, Options{Resolver: serving(srv.address), Codec: codec})
		for name, args := range map[string]any{"ring": ring, "map": m, "deep": deep, "doubled": doubled} {
			e := wantError(t, c.Call(t.Context(), "Arith", "Mul", args, nil), code.InvalidArgument, code.ReasonBadPayload)
			if !strings.HasPrefix(e.Message, "the argument of Arith.Mul: encode as "+codec) {
				t.Errorf("%s, %s: %q", codec, name, e.Message)
			}
		}
		var r Reply
		if err := c.Call(t.Context(), "Arith", "Mul", Args{6, 7}, &r); err != nil || r.C != 42 {
			t.Errorf("%s: %v, %v", codec, r, err)
		}
	}
}

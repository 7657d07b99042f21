package wire_test

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestReasonsOfBadRepliesDoNotClaimThatTheCallWasNotRun(t *testing.T) {
	for _, tc := range []struct {
		name string
		res  wire.Frame
	}{
		{"too long", wire.Frame{Payload: make([]byte, 200)}},
		{"far too long", wire.Frame{Payload: make([]byte, 5000)}},
		{"too long, next to an error", wire.Frame{Status: wire.StatusError, Payload: make([]byte, 200)}},
		{"too long when decompressed", wire.Frame{Compression: wire.Gzip, Payload: packedZeros(t, wire.Gzip, 1<<10)}},
		{"no gzip", wire.Frame{Compression: wire.Gzip, Payload: []byte("no gzip")}},
		{"unknown compression", wire.Frame{Compression: 7, Payload: []byte("?")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, p := facing(t, wire.ConnOptions{Limits: wire.Limits{MaxMessageBytes: 150, MaxDecompressedBytes: 150}})
			done := make(chan error, 1)
			go func() {
				_, err := call(t.Context(), c, "Out", "")
				done <- err
			}()
			tc.res.Type, tc.res.Seq = wire.Response, p.Receive().Seq
			p.Send(&tc.res)
			err := <-done
			wantError(t, err, code.Internal, code.ReasonBadReply)
			if code.NotRun(code.From(err).Reason) {
				t.Errorf("%v: it was run", err)
			}
			go func() { answer(p, p.Receive(), "y") }()
			if got, err := call(t.Context(), c, "Next", ""); got != "y" {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

func TestAReplyFarOverTheLimitFailsOnlyItsCall(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	reqs, errs := several(t, c, p, 21)
	for i, req := range reqs[1:] {
		if i == 10 {
			p.Send(&wire.Frame{Type: wire.Response, Seq: reqs[0].Seq, Payload: make([]byte, 17<<20)})
		}
		answer(p, req, "y")
	}
	wantError(t, <-errs[0], code.Internal, code.ReasonBadReply)
	for _, err := range errs[1:] {
		if err := <-err; err != nil {
			t.Error(err)
		}
	}
}

func TestReasonsOfAClientAreNotPassedOnByAHandler(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	open, _ := facing(t, wire.ConnOptions{})
	closed, _ := facing(t, wire.ConnOptions{})
	_ = closed.Close()
	_, dial := wire.Dial(t.Context(), "tcp", "127.0.0.1:0", wire.ConnOptions{})
	do := func(ctx context.Context, c *wire.Conn) error {
		_, err := call(ctx, c, "Any", "")
		return err
	}
	for _, tc := range []struct {
		err    error
		code   code.Code
		reason string
	}{
		{do(cancelled, open), code.Cancelled, code.ReasonCancelled},
		{do(late, open), code.DeadlineExceeded, code.ReasonTimeout},
		{do(t.Context(), closed), code.Unavailable, code.ReasonNoEndpoint},
		{closed.Do(t.Context(), wiretest.OneWay(0, "Test", "Tell", wire.Raw, nil), nil), code.Unavailable, code.ReasonNoEndpoint},
		{dial, code.Unavailable, code.ReasonNoEndpoint},
	} {
		wantError(t, tc.err, tc.code, tc.reason)
		if e := code.Edge(tc.err); e.Code != tc.code || e.Reason != "" {
			t.Errorf("%v: a handler passes %s/%s on", tc.err, e.Code, e.Reason)
		}
	}
}

func TestResponseWithoutACallerIsDropped(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	go func() { answer(p, p.Receive(), "y") }()
	if err := c.Do(t.Context(), wiretest.Request(0, "Test", "Any", wire.Raw, nil), nil); err != nil {
		t.Error(err)
	}
}

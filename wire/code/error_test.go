package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestErrorTextIsTheMessageVerbatim(t *testing.T) {
	e := Errorf(NotFound, "order %d: %w", 7, io.EOF).WithReason("no_such_order")
	if e.Error() != "order 7: EOF" || e.Reason != "no_such_order" || !errors.Is(e, io.EOF) {
		t.Errorf("got %+v", e)
	}
}

func TestRefusalMessageIncludesEveryField(t *testing.T) {
	for _, tc := range []struct {
		rule, host string
		after      time.Duration
		want       string
	}{
		{"partner-quota@r42", "orders-7", 140 * time.Millisecond, "RESOURCE_EXHAUSTED: rate limited by partner-quota@r42 on orders-7, retry in 140ms"},
		{"", "orders-7", 0, "RESOURCE_EXHAUSTED: rate limited on orders-7"},
		{"", "", 0, "RESOURCE_EXHAUSTED: rate limited"},
	} {
		e := Refuse(ResourceExhausted, ReasonRateLimited, "rate limited", tc.rule, tc.host, tc.after)
		if e.Error() != tc.want {
			t.Errorf("got %q, want %q", e.Error(), tc.want)
		}
		if !e.Own() {
			t.Errorf("%q is not the host's own", e)
		}
	}
}

func TestFromKeepsCodesThroughWrapping(t *testing.T) {
	coded := Errorf(Aborted, "conflict").WithReason("version")
	for _, tc := range []struct {
		err    error
		code   Code
		reason string
		text   string
	}{
		{coded, Aborted, "version", "conflict"},
		{fmt.Errorf("saving: %w", coded), Aborted, "version", "saving: conflict"},
		{fmt.Errorf("db: %w", context.DeadlineExceeded), DeadlineExceeded, ReasonTimeout, "db: context deadline exceeded"},
		{context.Canceled, Cancelled, ReasonCancelled, "context canceled"},
		{io.EOF, Unknown, "", "EOF"},
	} {
		e := From(tc.err)
		if e.Code != tc.code || e.Reason != tc.reason || e.Message != tc.text || !errors.Is(e, tc.err) {
			t.Errorf("From(%v) = %+v", tc.err, e)
		}
	}
	if From(nil) != nil || Of(nil) != OK || Of(coded) != Aborted {
		t.Error("nil is OK, and a coded error has its code")
	}
}

func TestEdgeDropsTheFieldsOfAPeer(t *testing.T) {
	peer := Remote(Refuse(Unavailable, ReasonOverloaded, "full", "guard@r3", "h2", time.Second))
	if peer.Own() {
		t.Error("a peer's error is not our own")
	}
	e := Edge(fmt.Errorf("billing: %w", peer))
	if e.Code != Unavailable || e.Reason != "" || e.Rule != "" || e.RetryAfter != 0 || e.Host != "" || e.Own() {
		t.Errorf("left after the edge: %+v", e)
	}
	if !errors.Is(e, peer) {
		t.Error("the cause is gone")
	}
	own := Refuse(Unavailable, ReasonOverloaded, "full", "guard@r3", "h1", time.Second)
	if Edge(own) != own {
		t.Error("our own refusal was changed")
	}
}

func TestEveryCodeParsesFromItsName(t *testing.T) {
	for _, c := range All() {
		if got, ok := Parse(c.String()); !ok || got != c {
			t.Errorf("Parse(%s) = %v, %v", c, got, ok)
		}
	}
	if got, ok := Parse("CANCELED"); !ok || got != Cancelled {
		t.Error("the American spelling is not understood")
	}
	if got, ok := Parse("nope"); ok || got != Unknown {
		t.Errorf("Parse(nope) = %v, %v", got, ok)
	}
	if Code(99).String() != "CODE_99" {
		t.Errorf("unnamed code is %s", Code(99))
	}
}

func TestOnlyReasonsFromBeforeTheHandlerAreNotRun(t *testing.T) {
	for _, r := range []string{ReasonConnectionLost, ReasonTimeout, ReasonCancelled, ReasonPanic, "", "business"} {
		if NotRun(r) {
			t.Errorf("%q does not prove it", r)
		}
	}
	for _, r := range []string{ReasonRateLimited, ReasonDraining, ReasonNoEndpoint, ReasonBadPayload} {
		if !NotRun(r) {
			t.Errorf("%q proves it", r)
		}
	}
}

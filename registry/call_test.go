package registry

import (
	"context"
	"testing"
	"time"
)

func TestAHandlerReadsItsCallFromAnyContextBelow(t *testing.T) {
	call := &Call{Service: "Orders", Method: "Get", Caller: "partner", Metadata: Pairs{{"v", "1"}}}
	ctx := WithCall(t.Context(), call)
	below, cancel := context.WithTimeout(context.WithValue(ctx, &call, 1), time.Hour)
	defer cancel()
	for name, ctx := range map[string]context.Context{"itself": ctx, "below": below} {
		call.Reply = nil
		if Caller(ctx) != "partner" || Metadata(ctx).Get("v") != "1" || CallFrom(ctx) != call {
			t.Errorf("%s: caller %q, metadata %v", name, Caller(ctx), Metadata(ctx))
		}
		ReplyMetadata(ctx).Set("etag", "x")
		if call.Reply.Get("etag") != "x" {
			t.Errorf("%s: reply metadata %v", name, call.Reply)
		}
	}
}

func TestOutsideOfACallEverythingIsEmpty(t *testing.T) {
	ctx := t.Context()
	if Caller(ctx) != "" || Metadata(ctx) != nil || CallFrom(ctx) != nil {
		t.Errorf("caller %q, metadata %v", Caller(ctx), Metadata(ctx))
	}
	ReplyMetadata(ctx).Set("etag", "x")
	if ReplyMetadata(ctx).Get("etag") != "" {
		t.Error("reply metadata is kept somewhere")
	}
}

type parentKey struct{}

func TestACallIsItsOwnContext(t *testing.T) {
	deadline := time.Now().Add(time.Hour)
	parent, cancel := context.WithDeadline(context.WithValue(t.Context(), parentKey{}, "kept"), deadline)
	ctx := WithCall(parent, &Call{})
	if got, ok := ctx.Deadline(); !ok || !got.Equal(deadline) {
		t.Errorf("deadline %v", got)
	}
	if ctx.Value(parentKey{}) != "kept" || ctx.Err() != nil {
		t.Error("the parent does not show through")
	}
	child, stop := context.WithCancel(ctx)
	defer stop()
	cancel()
	<-ctx.Done()
	<-child.Done()
	if ctx.Err() == nil || child.Err() == nil {
		t.Error("cancelling the parent does not end the call")
	}
}

// foreign is a context unknown to package context, such as a server's, with its own AfterFunc.
type foreign struct {
	context.Context
	asked int
}

func (f *foreign) Done() <-chan struct{} { return f.Context.Done() }

func (f *foreign) Value(any) any { return nil }

func (f *foreign) AfterFunc(fn func()) func() bool {
	f.asked++
	return context.AfterFunc(f.Context, fn)
}

func TestADerivedContextCostsNoGoroutine(t *testing.T) {
	inner, cancel := context.WithCancel(t.Context())
	parent := &foreign{Context: inner}
	child, stop := context.WithCancel(WithCall(parent, &Call{}))
	defer stop()
	if parent.asked != 1 {
		t.Error("the context below was not asked for its end")
	}
	cancel()
	<-child.Done()
}

func TestAddingACallToAContextAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	call := &Call{Caller: "partner", Metadata: Pairs{{"v", "1"}}}
	if n := testing.AllocsPerRun(100, func() {
		got := WithCall(ctx, call)
		if Caller(got) == "" || Metadata(got).Get("v") == "" {
			t.Error("nothing read")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPairsKeepTheirOrderAndTheLastValueCounts(t *testing.T) {
	p := Pairs{{"a", "1"}, {"b", "2"}, {"a", "3"}}
	if p.Get("a") != "3" || p.Get("A") != "" {
		t.Errorf("a is %q, A is %q", p.Get("a"), p.Get("A"))
	}
	p.Set("a", "4")
	p.Set("c", "")
	if v, ok := p.Lookup("c"); v != "" || !ok {
		t.Error("an empty value is a value")
	}
	if _, ok := p.Lookup("d"); ok {
		t.Error("d was never set")
	}
	if p[0] != [2]string{"a", "1"} || p[2] != [2]string{"a", "4"} || p[3] != [2]string{"c", ""} {
		t.Errorf("%v", p)
	}
	var zero Pairs
	zero.Set("a", "1")
	if zero.Get("a") != "1" {
		t.Error("the zero value takes nothing")
	}
}

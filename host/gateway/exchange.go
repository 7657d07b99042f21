package gateway

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// exchange is one HTTP request, its call and its response.
type exchange struct {
	request
	g             *Gateway
	called        bool    // the handler was reached
	trace         string  // the traceparent that the handler has set in the request
	heldByHandler holding // handed over to a handler that may outlive the request
	served        *wire.ServedCall
	outcomes      chan outcome // of a handler on a goroutine of its own; nil: it runs on that of net/http

	// The memory of the frames is reused, but only once the handler has returned.
	reqFrame, resFrame wire.Frame
	framesInUse        bool // by the handler
}

// keptPayload bounds how much memory of a frame is reused.
const keptPayload = 64 << 10

var exchanges = sync.Pool{New: func() any { return &exchange{served: new(wire.ServedCall)} }}

func newExchange(g *Gateway, w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.g, x.host, x.router = g, g.host, g.router
	x.w, x.r, x.limits = w, r, &g.limits
	if c := connOf(r.Context()); c != nil {
		x.holding = holding{conn: c, growth: wire.NewGrowth(c.share)}
	}
	return x
}

// release returns x to the pool, unless a handler that outlives its request still uses the frames.
func (x *exchange) release() {
	x.holding.leave()
	if x.framesInUse {
		return
	}
	x.reqFrame.Reset()
	x.resFrame.Reset()
	x.served.Outlasts = nil
	*x = exchange{reqFrame: x.reqFrame, resFrame: x.resFrame, served: x.served}
	exchanges.Put(x)
}

// serve answers the request, or returns the error to respond with.
func (x *exchange) serve() *code.Error {
	switch {
	case !x.g.peers.reaches(x.holding.conn, x.r):
		return x.misdirected()
	case !x.g.origins.admit(x.w, x.r):
		return x.foreign()
	case x.r.Method == http.MethodOptions:
		if e := x.preflight(x.g.origins); e != nil {
			return e
		}
		return x.succeedEmpty(http.StatusNoContent)
	case x.router.isRPC(x.r):
		return rpcExchange{x}.serveRPC()
	}
	return x.serveCall()
}

// serveCall serves the call of one method.
func (x *exchange) serveCall() *code.Error {
	if e := x.readDeadline(); e != nil {
		return e
	}
	to, e := x.route()
	if e != nil {
		return e
	}
	if e := x.readFamily(); e != nil {
		return e
	}
	if x.family != nil && x.family.flag(x.r.Header, famHeartbeat) {
		return x.succeedEmpty(http.StatusOK)
	}
	if e := x.enter(); e != nil {
		return e
	}
	if e := x.readCodec(); e != nil {
		return e
	}
	if e := x.g.metadata.read(&x.request, &x.reqFrame.Metadata); e != nil {
		return e
	}
	a := argument{request: &x.request, rejectUnknown: x.g.rejectUnknown, payload: x.reqFrame.Payload[:0]}
	e = a.read(to)
	if x.reqFrame.Payload = a.payload; e != nil {
		return e
	}
	return x.call()
}

// slotRetryAfter is the Retry-After for a connection with too many calls in flight.
const slotRetryAfter = 100 * time.Millisecond

// enter counts the call against the limits.
func (x *exchange) enter() *code.Error {
	switch x.holding.enter(x.limits.MaxInFlight) {
	case shortOnHost:
		return x.overloaded()
	case shortOnConnection:
		what := fmt.Sprintf("the connection has reached the limit of %d calls in flight", x.limits.MaxInFlight)
		e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", x.host, slotRetryAfter)
		return e.WithAdvice("raise listeners[].limits.maxInFlightPerConnection")
	case noShortage:
	}
	return nil
}

// outcome is the reason why the HTTP request need not wait any longer.
type outcome struct {
	err  error
	kind outcomeKind
}

type outcomeKind byte

const (
	handlerReturned outcomeKind = iota
	deadlinePassed              // before the handler returned
	requestEnded                // before the handler returned
	oneWayAdmitted              // no rule refused a one-way call
)

type admittedKey struct{}

// Admitted reports to the gateway that no rule refused a one-way call, so that its caller need not wait for the handler.
// ctx is the context that the Handler was given. If Admitted is not called, the caller is answered when the handler
// returns.
func Admitted(ctx context.Context) {
	if report, ok := ctx.Value(admittedKey{}).(func()); ok {
		report()
	}
}

// call runs the call and responds with its outcome.
func (x *exchange) call() *code.Error {
	room := x.oneWay || x.holding.awaitRoom(x.r.Context(), x.deadline, x.service, x.method, len(x.reqFrame.Payload))
	if x.late() {
		return x.expired()
	}
	if !room {
		return x.overloaded()
	}
	if !x.deadline.IsZero() { // in whole milliseconds, rounded up
		left := (time.Until(x.deadline) + time.Millisecond - 1) / time.Millisecond
		x.reqFrame.Metadata.Set(wire.MetaTimeout, strconv.FormatInt(max(1, int64(left)), 10))
	}
	x.reqFrame.Service, x.reqFrame.Method, x.reqFrame.Codec, x.reqFrame.OneWay = x.service, x.method, x.codec, x.oneWay
	x.resFrame.Type, x.resFrame.Codec = wire.Response, x.codec
	x.called, x.framesInUse = true, true
	x.g.running.Add(1)
	switch {
	case x.oneWay:
		return x.callBeside()
	case x.g.remote(x.service): // its handler returns when the request ends
		return x.callHere(nil)
	case x.holding.conn != nil && !x.bodyLeft() && x.holding.conn.mayServeOn(x.w, x.r):
		return x.callHere(x)
	}
	return x.callBeside()
}

// bodyLeft reports whether the body is not read.
func (x *exchange) bodyLeft() bool { return x.query && x.r.ContentLength != 0 }

// callHere runs the handler on the goroutine of net/http. If the handler may outlive the response to its caller, early is not nil.
func (x *exchange) callHere(early wire.EarlyAnswerer) *code.Error {
	returned := false
	defer func() {
		if returned {
			return
		}
		if o := x.goroutineEnded(); x.finish(o) && early != nil {
			x.answerEarly(o)
		}
	}()
	o := x.handle(x.begin(x.r.Context(), early))
	returned = true
	if !x.finish(o) && early != nil {
		return nil
	}
	return x.answer(o)
}

// callBeside runs the handler on a goroutine of its own, since it may outlive its request.
func (x *exchange) callBeside() *code.Error {
	outcomes := make(chan outcome, 3) // one of each kind that is sent: senders never block
	ctx := x.r.Context()
	if x.oneWay { // its caller may leave as soon as it is answered
		ctx = context.WithValue(context.WithoutCancel(ctx), admittedKey{}, func() { outcomes <- outcome{kind: oneWayAdmitted} })
	}
	x.outcomes = outcomes
	go x.run(x.begin(ctx, x), outcomes)
	return x.answer(<-outcomes)
}

func (x *exchange) begin(ctx context.Context, early wire.EarlyAnswerer) *wire.Call {
	var w *wire.Watch
	o := wire.CallOptions{
		Transport: wire.TransportHTTP, Peer: x.g.peers.address(x.holding.conn, x.r), Host: x.host, MaxDecodedBytes: x.limits.MaxDecompressedBytes,
	}
	if conn := x.holding.conn; conn != nil {
		o.Share, o.Certificate, w = conn.share, conn.proof, conn.watch
		if x.arrived {
			x.served.Outlasts = conn.readOn
			conn.reads.hold()
		}
	}
	x.heldByHandler = x.holding.handOver()
	return x.served.Begin(ctx, &o, w, early)
}

// finish ends the call of a handler that has returned, and reports whether the call is still to be answered.
func (x *exchange) finish(o outcome) bool {
	answer := x.served.Finish()
	x.heldByHandler.reply.Learn(len(x.resFrame.Payload), o.err)
	x.heldByHandler.leave() // however slowly the caller reads the response
	x.g.running.Done()
	return answer
}

// run sends the outcome of the call, even if its handler ends the goroutine.
func (x *exchange) run(c *wire.Call, outcomes chan<- outcome) {
	var o outcome
	returned := false
	defer func() {
		if !returned {
			o = x.goroutineEnded()
		}
		if x.finish(o) {
			outcomes <- o // x may be reused from here on
		}
	}()
	o = x.handle(c)
	returned = true
}

func (x *exchange) goroutineEnded() outcome {
	return outcome{err: code.Refuse(code.Internal, code.ReasonPanic, "the handler ended its goroutine", "", x.host, 0)}
}

// AnswerEarly implements wire.EarlyAnswerer.
func (x *exchange) AnswerEarly(e *code.Error) {
	if e == nil {
		x.answerEarly(outcome{kind: requestEnded})
		return
	}
	x.answerEarly(outcome{err: e, kind: deadlinePassed})
}

// answerEarly answers while the handler has the goroutine that would do so.
func (x *exchange) answerEarly(o outcome) {
	if x.outcomes != nil {
		x.outcomes <- o
		return
	}
	x.fail(x.answer(o))
	x.holding.conn.serveOn(x.w)
}

// handle calls the handler and returns its outcome; a panic becomes an error.
func (x *exchange) handle(c *wire.Call) (o outcome) {
	defer func() {
		if v := recover(); v != nil {
			o.err = x.panicked(v)
		}
	}()
	return outcome{err: x.g.handler.Handle(c, &x.reqFrame, &x.resFrame)}
}

func (x *exchange) panicked(v any) error {
	x.g.logger.Error("panic in a call", "service", x.reqFrame.Service, "method", x.reqFrame.Method, "panic", code.PanicText(v), "stack", string(debug.Stack()))
	what := handlerPanicked
	if x.g.exposeInternal {
		what += ": " + code.PanicText(v)
	}
	return x.refuse(code.Internal, code.ReasonPanic, what)
}

// answer responds with the outcome of the call, or returns the error to respond with.
func (x *exchange) answer(o outcome) *code.Error {
	x.framesInUse = o.kind != handlerReturned
	if !x.framesInUse && cap(x.reqFrame.Payload) > keptPayload {
		x.reqFrame.Payload = nil // no longer charged to the budget
	}
	if o.kind == requestEnded {
		return x.cancelled()
	}
	e := code.From(o.err)
	if e != nil {
		x.trace = x.reqFrame.Metadata.Get("traceparent")
	}
	switch {
	case x.oneWay && (e == nil || !e.Own() || !code.NotRun(e.Reason)): // only a refusal matters to the caller
		return x.succeedEmpty(http.StatusAccepted)
	case e != nil:
		return e
	}
	s := x.response()
	return s.succeed(&x.resFrame)
}

func (x *exchange) response() response {
	return response{request: &x.request, exposeInternal: x.g.exposeInternal, trace: x.trace}
}

func (x *exchange) succeedEmpty(status int) *code.Error {
	s := x.response()
	if s.family != nil && status != http.StatusNoContent {
		s.echoFamily()
	}
	s.succeedEmpty(status)
	return nil
}

func (x *exchange) fail(e *code.Error) {
	s := x.response()
	s.fail(e)
}

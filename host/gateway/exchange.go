package gateway

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// exchange is one HTTP request on its way to a call and back.
type exchange struct {
	g *Gateway
	w http.ResponseWriter
	r *http.Request

	family      *family // nil for plain requests
	service     string  // as the caller spells it, or exact where that is known
	method      string
	codec       wire.Codec
	contentType []string // of a result
	oneWay      bool
	status      int       // of an error, where its code does not tell; 0 otherwise
	called      bool      // the handler was reached
	trace       string    // the traceparent that the handler has put into the request
	query       bool      // the argument is that of the query
	deadline    time.Time // when the caller gives up; zero: it does not say
	holding     holding
	handed      holding // to a handler that may outlive the request
	transfer    transfer

	// The memory of the frames is used again, but only when the handler has let go of it.
	req, res wire.Frame
	running  bool
}

// keptPayload is how much memory of a frame is used again.
const keptPayload = 64 << 10

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(g *Gateway, w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.g, x.w, x.r = g, w, r
	if c := connOf(r.Context()); c != nil {
		x.holding = holding{conn: c, growth: wire.NewGrowth(c.share)}
	}
	return x
}

// release gives x back, unless a handler that outlives its request still has its frames.
func (x *exchange) release() {
	x.holding.leave()
	if x.running {
		return
	}
	x.req.Reset()
	x.res.Reset()
	*x = exchange{req: x.req, res: x.res}
	exchanges.Put(x)
}

// outcome is why the HTTP request need not wait any longer.
type outcome struct {
	err  error
	kind outcomeKind
}

type outcomeKind byte

const (
	returned outcomeKind = iota // the handler did
	early                       // the deadline passed before that
	admitted                    // no rule refused a one-way call
)

type admittedKey struct{}

// Admitted tells the gateway that no rule refused a one-way call, so that its caller need not wait for the handler. ctx
// is the one that the Handler was given. Without it the caller is answered when the handler returns.
func Admitted(ctx context.Context) {
	if tell, ok := ctx.Value(admittedKey{}).(func()); ok {
		tell()
	}
}

// call runs the call and answers with what comes of it.
func (x *exchange) call() *code.Error {
	room := x.oneWay || x.holding.begin(x.r.Context(), x.deadline, x.service, x.method, len(x.req.Payload))
	if x.late() {
		return x.expired()
	}
	if !room {
		return x.overloaded()
	}
	x.setTimeout()
	x.req.Service, x.req.Method, x.req.Codec, x.req.OneWay = x.service, x.method, x.codec, x.oneWay
	x.res.Type, x.res.Codec = wire.Response, x.codec
	x.called, x.running = true, true
	x.g.running.Add(1)
	if !x.oneWay && x.g.remote(x.service) {
		return x.callHere()
	}
	return x.callBeside()
}

// callHere waits for the handler itself: what it does for a service of another host ends with the call.
func (x *exchange) callHere() *code.Error {
	defer x.g.running.Done()
	o := x.handle(wire.NewCall(x.r.Context(), x.callOptions()))
	x.holding.reply.Learn(len(x.res.Payload), o.err)
	x.holding.leave() // the call has ended, however long its caller takes the answer
	return x.told(o)
}

// callBeside has the handler run on a goroutine of its own, since it may go on after its caller was answered at the
// deadline.
func (x *exchange) callBeside() *code.Error {
	outcomes := make(chan outcome, 3) // one of each kind: nobody who tells ever waits
	ctx := x.r.Context()
	gone := ctx.Done()
	if x.oneWay {
		// Its caller may leave as soon as it is answered.
		ctx = context.WithValue(context.WithoutCancel(ctx), admittedKey{}, func() { outcomes <- outcome{kind: admitted} })
		gone = nil
	}
	o := x.callOptions()
	o.Answer = func(e *code.Error) { outcomes <- outcome{err: e, kind: early} }
	c := wire.NewCall(ctx, o)
	x.handed = x.holding.handOver()
	go x.run(c, outcomes)

	select {
	case o := <-outcomes:
		return x.told(o)
	case <-gone:
		return x.refuse(code.Cancelled, code.ReasonCancelled, "the caller went away")
	}
}

func (x *exchange) callOptions() wire.CallOptions {
	o := wire.CallOptions{
		Transport: "http", Peer: x.g.peer(x.r), Host: x.g.host, MaxDecodedBytes: x.g.limits.MaxDecompressedBytes,
	}
	if conn := x.holding.conn; conn != nil {
		o.Share = conn.share
	}
	return o
}

// told answers with the outcome.
func (x *exchange) told(o outcome) *code.Error {
	x.running = o.kind != returned
	if !x.running && cap(x.req.Payload) > keptPayload {
		x.req.Payload = nil // it is not charged any longer
	}
	if o.err != nil {
		x.trace = x.req.Metadata.Get("traceparent")
	}
	return x.answer(o)
}

// handlerPanicked is all that callers are told of a panic, in the words that hosts have for it over any transport.
const handlerPanicked = "the handler panicked"

// run tells the outcome of the call, also when its handler ends the goroutine.
func (x *exchange) run(c *wire.Call, outcomes chan<- outcome) {
	g := x.g // x may be used again as soon as the outcome is told
	defer g.running.Done()
	var o outcome
	done := false
	defer func() {
		x.handed.leave()
		if !done {
			o.err = code.Refuse(code.Internal, code.ReasonPanic, "the handler ended its goroutine", "", g.host, 0)
		}
		outcomes <- o
	}()
	o = x.handle(c)
	x.handed.reply.Learn(len(x.res.Payload), o.err)
	done = true
}

// handle calls the handler and tells what came of it, also of a panic.
func (x *exchange) handle(c *wire.Call) (o outcome) {
	defer c.End()
	defer func() {
		if v := recover(); v != nil {
			o.err = x.panicked(v)
		}
	}()
	return outcome{err: x.g.handler.Handle(c, &x.req, &x.res)}
}

func (x *exchange) panicked(v any) error {
	g, req := x.g, &x.req
	g.logger.Error("panic in a call", "service", req.Service, "method", req.Method, "panic", code.PanicText(v), "stack", string(debug.Stack()))
	what := handlerPanicked
	if g.exposeInternal {
		what += ": " + code.PanicText(v)
	}
	return code.Refuse(code.Internal, code.ReasonPanic, what, "", g.host, 0)
}

// answer writes the outcome of the call, or tells the error to write.
func (x *exchange) answer(o outcome) *code.Error {
	if !x.oneWay {
		if o.err != nil {
			return code.From(o.err)
		}
		return x.succeed()
	}
	// What the handler of a one-way call makes of it is nobody's business; a refusal is.
	if e := code.From(o.err); e != nil && e.Own() && code.NotRun(e.Reason) {
		return e
	}
	if x.family != nil {
		x.echoFamily()
	}
	x.succeedEmpty(http.StatusAccepted)
	return nil
}

package host

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// serving is the state of one call while a method serves it. servings keeps it for other calls once nothing refers to it.
type serving struct {
	recorder   *recorder
	generation *generation
	method     *route.Method
	wire       *wire.Call
	metrics    *telemetry.MethodMetrics
	shard      traffic.Shard // of the counters
	caller     string
	policy     policies.Call
	entered    bool // the guard has filled ticket
	admitted   bool // neither the host nor a rule has turned the call away
	ticket     policies.Ticket
	baseline   *comparison          // with the rules before an edit; nil: it is not observed
	limitedBy  string               // the key under which a rate limit has refused it
	args       any                  // of the handler
	inside     *registry.Invocation // what interceptors get of the call; nil: it has none yet
	reply      any                  // nil unless the handler has succeeded
	trace      *telemetry.Trace     // nil if the call needs none
	returned   bool                 // set by run: otherwise its goroutine exits or panics
	settled    atomic.Bool          // the outcome is counted: at the deadline, or when the handler returned
}

var servings = sync.Pool{New: func() any { return new(serving) }}

// served is the part of a call that its handler may keep.
type served struct {
	registry.Call
	context wire.Context
}

func (s *serving) run(req, res *wire.Frame) error {
	s.shard = traffic.Here()
	s.metrics.Begin(s.shard)
	defer s.leave()
	if s.recorder.tracing.NeedsTrace(req) {
		s.trace = new(telemetry.Trace)
		s.recorder.tracing.Begin(s.trace, s.method.Operation, s.wire, req)
	}
	var err error
	if s.method.Around.HasBefore() {
		err = interception{s}.run(req, res)
	} else if err = s.admit(req); err != nil {
		s.recordOutcome(err, true)
	} else {
		if s.method.IsRemote() {
			err = forwarding{s}.run(req, res)
		} else {
			err = s.invoke(req, res)
		}
		s.recordOutcome(err, false)
	}
	s.returned = true
	return err
}

// done reports the outcome of the handler to the rules.
func (s *serving) done(err error) {
	s.ticket.Done(err)
	if s.baseline != nil {
		s.baseline.end(err)
	}
}

// leave releases what the call holds, also when its handler ended the goroutine; the server answers it then.
func (s *serving) leave() {
	if !s.returned {
		err := s.panicError(&registry.PanicError{Stack: debug.Stack()})
		s.done(err)
		s.recordOutcome(err, false)
	}
	if s.entered {
		s.recordShadow(s.ticket.Shadowed())
	}
	s.metrics.End(s.shard)
	s.method.Around.Release()
	s.method.Calls.Release()
	if s.returned && s.wire.Settle() {
		if s.reply != nil {
			s.method.Invoke.Release(s.args, s.reply)
		}
		s.recycle()
	}
}

// recycle returns s to its pool. The ticket is reset by its next use.
func (s *serving) recycle() {
	s.recorder, s.generation, s.method, s.wire, s.metrics, s.trace = nil, nil, nil, nil, nil, nil
	s.caller, s.limitedBy, s.policy, s.args, s.reply, s.inside = "", "", policies.Call{}, nil, nil, nil
	if s.baseline != nil {
		s.baseline.recycle()
		s.baseline = nil
	}
	s.entered, s.admitted, s.returned = false, false, false
	s.settled.Store(false)
	servings.Put(s)
}

// admit identifies the caller and applies the rules. By then the payload is decompressed, but not decoded.
func (s *serving) admit(req *wire.Frame) error {
	if err := s.identify(req); err != nil {
		return err
	}
	return s.enter(req)
}

// baselineWindow returns the window in which the rules are compared with those before an edit; nil: they are not.
func (s *serving) baselineWindow() *window {
	if w := s.generation.window.Load(); w != nil && w.rules != nil {
		return w
	}
	return nil
}

// identify finds out who calls.
func (s *serving) identify(req *wire.Frame) (err error) {
	if s.caller, s.policy.Claims, err = s.generation.identity.caller(s.wire, s.wire.Certificate(), s.wire.Peer(), req.Metadata); err == nil {
		return nil
	}
	if w := s.baselineWindow(); w != nil && w.turnedAway {
		s.compare(w, req)
		s.baseline.decided(code.From(err), policies.Waited{})
	}
	return err
}

// enter applies the rules.
func (s *serving) enter(req *wire.Frame) error {
	w := s.baselineWindow()
	deadline, given := wire.CallerDeadline(s.wire.Arrived(), req.Metadata)
	if given && !time.Now().Before(deadline) {
		const what = "the caller's deadline passed before the call started"
		return code.Refuse(code.DeadlineExceeded, code.ReasonExpired, what, "", s.recorder.name, 0)
	}
	s.policy = policies.Call{
		Caller: s.caller, Claims: s.policy.Claims, Peer: s.wire.Peer(), Metadata: metadataOf(s.wire, req), Arrived: s.wire.Arrived(),
		Deadline: deadline,
	}
	if w != nil {
		s.compare(w, req)
	}
	s.entered = true
	err := s.method.Guard.Enter(s.wire, &s.policy, &s.ticket)
	if w != nil {
		s.baseline.decided(code.From(err), s.ticket.Waited())
	}
	s.recordShadow(s.policy.Shadowed())
	if err != nil {
		e := code.From(err)
		s.limitedBy = keyOf(s.generation.policies, e.Rule, e.Reason, s.method.Target, &s.policy)
		return e
	}
	s.admitted = true
	if req.OneWay {
		gateway.Admitted(s.wire)
	}
	if at, ok := s.ticket.Deadline(); ok {
		s.wire.ExpireAt(at, s)
	}
	return nil
}

// compare asks the baseline about the call.
func (s *serving) compare(w *window, req *wire.Frame) {
	s.baseline = comparisons.Get().(*comparison)
	s.baseline.begin(w, s.wire, s.method, req, s.policy)
}

// Expired returns the answer at the deadline, while the handler still runs.
func (s *serving) Expired() *code.Error {
	err := s.ticket.Late()
	if at, ok := s.ticket.Deadline(); ok && s.baseline != nil {
		s.baseline.expired(err, at)
	}
	s.recordOutcome(err, true)
	return err
}

func (s *serving) invoke(req, res *wire.Frame) error {
	h := s.hand(req)
	ctx, cancel := s.context(req, h)
	defer cancel()
	return s.handle(registry.WithCall(ctx, &h.Call), h, req, res)
}

// handle decodes the argument, runs the handler and encodes its reply.
func (s *serving) handle(ctx context.Context, h *served, req, res *wire.Frame) error {
	args := s.method.Invoke.NewArgs()
	if err := (payload{s}).decode(req, args); err != nil {
		return payload{s}.decodeError(err, len(req.Payload))
	}
	reply, err := s.call(ctx, h, args)
	res.Metadata = append(res.Metadata[:0], h.Reply...)
	if err != nil {
		if s.wants(req, err) {
			s.replyBeside(req, res, reply)
		}
		return s.handlerError(err)
	}
	if res.Payload, err = (payload{s}).encode(req.Codec, res.Payload[:0], reply); err != nil {
		res.Payload = res.Payload[:0]
		kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"method", s.method.FullName()}, {"codec", req.Codec.String()}}}
		s.recorder.sampler.Log(slog.LevelError, "handler reply cannot be encoded", kind, func() []slog.Attr {
			return []slog.Attr{slog.Any("error", err)}
		})
		e := code.Refuse(code.Internal, code.ReasonBadReply, "the reply cannot be encoded as "+req.Codec.String(), "", s.recorder.name, 0)
		s.done(e)
		return e
	}
	s.done(nil)
	if s.method.Around == nil { // interceptors may keep both
		s.args, s.reply = args, reply
	}
	return nil
}

// call runs the handler, within the interceptors that come after the rules.
func (s *serving) call(ctx context.Context, h *served, args any) (reply any, err error) {
	if s.method.Around != nil {
		return interception{s}.call(ctx, h, args)
	}
	return s.method.Call(ctx, args, nil)
}

// hand returns what the handler gets of the call.
func (s *serving) hand(req *wire.Frame) *served {
	h := &served{Call: registry.Call{Service: s.method.Target.Service, Method: s.method.Target.Method, Caller: s.caller}}
	h.Metadata = slices.Clone(registry.Pairs(req.Metadata)) // the frame's is used again
	if s.admitted {
		h.RuleDeadline = s.ticket.RuleDeadline()
	}
	return h
}

// wants reports whether the caller can use a reply beside err. HTTP has no place for it. After the end of its
// context, a handler may have goroutines that still write to the reply.
func (s *serving) wants(req *wire.Frame, err error) bool {
	if req.OneWay || s.wire.Transport() == wire.TransportHTTP || s.wire.Err() != nil {
		return false
	}
	c := code.Of(err)
	return c != code.DeadlineExceeded && c != code.Cancelled
}

// replyBeside encodes a reply that the handler filled before it failed. Stock rpcx peers send and read both.
func (s *serving) replyBeside(req, res *wire.Frame, reply any) {
	v := reflect.ValueOf(reply)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().IsZero() {
		return
	}
	var err error
	if res.Payload, err = (payload{s}).encode(req.Codec, res.Payload[:0], reply); err != nil {
		res.Payload = res.Payload[:0] // the error is what counts
	}
}

// context returns the parent of the handler's context: that of the call, which ends with its connection, or for a
// one-way call over HTTP one that ends with the host.
func (s *serving) context(req *wire.Frame, h *served) (context.Context, context.CancelFunc) {
	within := s.trace.Context(s.wire.Keep(&h.context))
	if !req.OneWay || s.wire.Transport() != wire.TransportHTTP {
		return within, func() {}
	}
	ctx, cancel := context.WithCancel(within)
	stop := context.AfterFunc(s.recorder.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// handlerError returns what the caller sees of a handler's error. The guard gets the error itself: a refusal by a
// peer of the handler is hidden from the caller, but shows a breaker that the peer is up.
func (s *serving) handlerError(err error) error {
	var p *registry.PanicError
	if errors.As(err, &p) {
		e := s.panicError(p)
		s.done(e)
		return e
	}
	s.done(err)
	e := code.Edge(err)
	s.logHidden(e)
	if e.Code == code.DeadlineExceeded || e.Code == code.Cancelled {
		return s.withReason(e)
	}
	return e
}

// withReason returns an error caused by the end of the call's context with the reason for it.
func (s *serving) withReason(e *code.Error) error {
	if s.wire.Err() == nil || e.Reason != "" && e.Reason != code.ReasonTimeout && e.Reason != code.ReasonCancelled {
		return e
	}
	reason := code.ReasonCancelled
	if e.Code == code.DeadlineExceeded {
		reason = code.ReasonTimeout
	}
	own := code.Refuse(e.Code, reason, e.Message, "", s.recorder.name, 0)
	return own.InPublic(code.Refuse(e.Code, reason, e.Detail(), "", s.recorder.name, 0).Message)
}

// logHidden logs an error that has details the caller must not see.
func (s *serving) logHidden(e *code.Error) {
	if !e.KeepsBack() {
		return
	}
	kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"method", s.method.Subject()}, {"code", e.Code.String()}}}
	s.recorder.sampler.Log(slog.LevelWarn, "call failed", kind, func() []slog.Attr { return append(s.who(), slog.Any("error", e)) })
}

// who returns the log attributes that say where a call comes from.
func (s *serving) who() []slog.Attr {
	attrs := []slog.Attr{slog.String("caller", s.caller)}
	if peer := s.wire.Peer(); peer.IsValid() { // callers over unix sockets have none
		attrs = append(attrs, slog.String("peer", peer.String()))
	}
	if id := s.trace.ID(); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	return attrs
}

func (s *serving) panicError(p *registry.PanicError) *code.Error {
	name := s.method.FullName()
	kind, message, what := telemetry.LogKey{Subject: telemetry.LogAttrs{{"method", name}}}, "handler panicked", "the handler panicked"
	if p.Interceptor != "" {
		message, what = "interceptor "+p.Interceptor+" panicked", "interceptor "+p.Interceptor+" panicked"
	}
	s.recorder.sampler.Log(slog.LevelError, message, kind, func() []slog.Attr {
		return append(s.who(), slog.String("panic", p.Error()), slog.String("stack", string(p.Stack)))
	})
	if s.generation.set.Manifest.Gateway.Errors.ExposeInternal {
		what += ": " + p.Error()
	}
	return code.Refuse(code.Internal, code.ReasonPanic, what, "", s.recorder.name, 0)
}

// recordOutcome counts the outcome of a call, once.
func (s *serving) recordOutcome(err error, refused bool) {
	if !s.settled.CompareAndSwap(false, true) {
		return
	}
	e, c := code.From(err), code.Of(err)
	took := time.Since(s.wire.Arrived())
	s.metrics.Done(s.shard, c, took)
	byRule := e != nil && (!s.admitted || e.Own() && e.Rule != "")
	if byRule {
		s.generation.window.Load().stopped("", s.method.Target, e)
	}
	end := s.wire.Arrived().Add(took)
	s.recorder.flows.Observe(s.shard, s.metrics.Traffic(), end, took, traffic.Flow{
		Method: s.metrics.Name(), Caller: s.caller, Peer: s.wire.Peer().Unmap(), Code: c, Refused: byRule,
	})
	s.trace.End(e, s.caller)
	if e != nil && refused && e.Own() {
		s.recorder.recordRefusal(s.generation, s.refusal(e.Rule, e.Reason, e.Code), s.method.Subject(), s.trace.ID(), e)
	}
	if s.method.Service != nil && s.method.Service.Config.AccessLog {
		s.recorder.logAccess(s.who(), s.method.FullName(), s.wire.Transport(), c, e, took)
	}
}

// refusal returns the key of a refusal of the call.
func (s *serving) refusal(rule, reason string, c code.Code) refusalKey {
	return refusalKey{
		rule: rule, reason: reason, code: c, caller: s.caller, target: s.method.Target, peer: s.wire.Peer().Unmap(), key: s.limitedBy,
	}
}

// recordShadow records what rules in shadow would have done to the call. Call it once the rules are done with the call,
// while its metadata is valid.
func (s *serving) recordShadow(would []policies.ShadowRefusal) {
	for _, w := range would {
		s.recorder.recordShadow(s.generation, s.refusal(w.Rule, w.Reason, w.Code), w.Kind, s.trace.ID(), &s.policy)
	}
}

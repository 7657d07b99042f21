package client

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// call is one call of a client. It implements OutgoingCall. Calls are pooled. The way of a call is
//
//	Client.Call, Notify, Go → newCall → sendAndDecode → roundTrip → run
//	Client.Handle                              → sendInto → run
//	with Options.Wrap: roundTrip, Handle → core.handler → … → Client.afterWrap → sendInto → run
//	there on: Guard.Do → Attempt, once or more → slot.attempt → slot.send, to one endpoint after the other
type call struct {
	callOptions
	c       *catalog
	service *service
	req     *wire.Frame // the caller's
	own     wire.Frame  // backs req when the arguments are encoded here
	wrapped wire.Frame  // the response, with Options.Wrap
	packs   bool        // the payload may be compressed as the options say
	counted bool        // in core.calls
	headers bool        // its metadata keys are names of HTTP headers
	whole   bool        // the metadata of an error response includes that of the error
	caller  string
	hashKey

	out    atomic.Int64 // attempts
	first  slot
	packed packed
	mu     sync.Mutex
	more   []*slot // for concurrent attempts
}

var calls = sync.Pool{New: func() any {
	cl := new(call)
	cl.first.call = cl
	return cl
}}

// pooledCall returns a call that is not counted in core.calls.
func pooledCall(c *catalog) *call {
	cl := calls.Get().(*call)
	cl.c = c
	cl.codec, cl.compression = c.codec, c.o.Compression
	return cl
}

// end returns the call to the pool, unless attempts still use it.
func (cl *call) end() {
	if cl.counted {
		cl.c.leave()
	}
	if cl.out.Load() > 0 {
		return
	}
	cl.own.Reset()
	cl.packed.reset()
	cl.wrapped.Reset()
	cl.first.reset()
	meta := cl.metadata
	clear(meta)
	cl.callOptions = callOptions{metadata: meta[:0]}
	cl.c, cl.service, cl.req, cl.more = nil, nil, nil, nil
	cl.packs, cl.counted, cl.whole, cl.headers, cl.caller, cl.hashKey = false, false, false, false, "", hashKey{}
	calls.Put(cl)
}

// Upstream and the methods below implement OutgoingCall.
func (cl *call) Upstream() string { return cl.c.upstream(cl.req.Service) }

func (cl *call) Service() string { return cl.req.Service }
func (cl *call) Method() string  { return cl.req.Method }
func (cl *call) Caller() string  { return cl.caller }

// Get returns a metadata value of the request, ignoring case if the keys are HTTP headers.
func (cl *call) Get(key string) string {
	if cl.headers {
		return cl.req.Metadata.GetFold(key)
	}
	return cl.req.Metadata.Get(key)
}

func (cl *call) Idempotent() bool {
	return cl.idempotent || wildcard.MatchAny(cl.c.o.Idempotent, cl.req.Method)
}

// run sends the call through the guard. It returns the slot with the response, nil if there is none.
func (cl *call) run(ctx context.Context) (*slot, error) {
	c := cl.c
	if ctx.Err() != nil {
		return nil, ended(ctx.Err(), "%s.%s was not sent", cl.req.Service, cl.req.Method)
	}
	s, err := c.service(cl.req.Service)
	if err != nil {
		return nil, err
	}
	cl.service = s
	if c.o.Caller != nil {
		cl.caller = c.o.Caller(ctx)
	}
	if c.o.Guard == nil {
		err = cl.Attempt(ctx, 0, nil)
		return &cl.first, err
	}
	n, err := c.o.Guard.Do(ctx, cl)
	won := cl.slotIfAny(n)
	if err == nil && (won == nil || !won.answered) {
		return nil, failed(code.Internal, "", "the guard of %s reports success without a successful attempt", s.name)
	}
	return won, err
}

// Attempt implements OutgoingCall.
func (cl *call) Attempt(ctx context.Context, slot int, endpoints EndpointFilter) error {
	cl.out.Add(1)
	defer cl.out.Add(-1)
	return cl.slot(slot).attempt(ctx, endpoints)
}

// Redial implements OutgoingCall.
func (cl *call) Redial(slot int, which func(address string) bool) (soon bool) {
	if s := cl.slotIfAny(slot); s == nil || len(s.tried) > s.refused {
		return false
	}
	for _, m := range cl.service.list.Load().members {
		if which == nil || which(m.ep.Address) {
			soon = m.node.redialNow() || soon
		}
	}
	return soon
}

func (cl *call) slot(n int) *slot {
	if n <= 0 {
		return &cl.first
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for len(cl.more) < n {
		cl.more = append(cl.more, &slot{call: cl})
	}
	return cl.more[n-1]
}

// slotIfAny is like slot, but returns nil if the slot was never used.
func (cl *call) slotIfAny(n int) *slot {
	if n == 0 {
		return &cl.first
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if n < 0 || n > len(cl.more) {
		return nil
	}
	return cl.more[n-1]
}

func (cl *call) encode(service, method string, args any) error {
	req := &cl.own
	cl.req = req
	req.Service, req.Method, req.Codec = service, method, cl.codec
	req.Metadata = append(req.Metadata[:0], cl.metadata...)
	var err error
	if req.Payload, err = wire.Append(cl.codec, req.Payload[:0], args); err != nil {
		return badArgument(service, method, err)
	}
	cl.hashArgument(args)
	cl.packs = true
	if cl.compression == wire.Zstd && cl.c.o.Compression != wire.Zstd && len(req.Payload) >= cl.c.o.CompressAbove {
		req.Metadata.Set(wire.MetaAcceptCompression, wire.Zstd.String())
	}
	return nil
}

// sendAndDecode sends the call and decodes the reply.
func (cl *call) sendAndDecode(ctx context.Context, reply any) error {
	res, err := cl.roundTrip(ctx)
	if e := code.From(err); e != nil && e.Own() {
		err = code.Remote(e) // the rules are this client's: a handler that returns err must not pass them off as its host's
	}
	if cl.req.OneWay {
		return err
	}
	if res != nil && cl.replyMetadata != nil {
		*cl.replyMetadata = append((*cl.replyMetadata)[:0], res.Metadata...)
	}
	d := wire.Decoding{MaxBytes: cl.c.o.Limits.MaxDecompressedBytes}
	switch {
	case reply == nil:
		return err
	case err != nil:
		if res != nil && len(res.Payload) > 0 {
			_ = d.Decode(res.Codec, res.Payload, reply) // the error matters more
		}
		return err
	}
	if err := d.Decode(res.Codec, res.Payload, reply); err != nil {
		return failed(code.Internal, code.ReasonBadReply, "the reply of %s.%s: %w", cl.req.Service, cl.req.Method, err)
	}
	return nil
}

// roundTrip sends the call through Options.Wrap. The response is nil if there is none.
func (cl *call) roundTrip(ctx context.Context) (*wire.Frame, error) {
	if cl.c.handler != nil {
		cl.whole = true
		err := cl.c.handler.Handle(&callContext{ctx, cl}, cl.req, &cl.wrapped)
		if err != nil && cl.wrapped.Status == wire.StatusNormal {
			return nil, err
		}
		return &cl.wrapped, err
	}
	won, err := cl.run(ctx)
	if won == nil || !won.answered {
		return nil, err
	}
	return &won.res, err
}

// Pending is a call made by Go. Reply and Err may be read after the Pending has been received from Done.
type Pending struct {
	Service string
	Method  string
	Reply   any           // as given to Go
	Err     error         // of the call
	Done    chan *Pending // receives the Pending when the call has ended
}

func (p *Pending) end(err error) {
	p.Err = err
	select {
	case p.Done <- p:
	default: // like net/rpc, do not block if the channel is full
	}
}

// sendInto sends the call and moves the response to res.
func (cl *call) sendInto(ctx context.Context, res *wire.Frame) error {
	res.Status = wire.StatusNormal
	won, err := cl.run(ctx)
	if won != nil && won.answered {
		won.into(res, err != nil && !cl.whole)
	}
	return err
}

// hashArgument sets the key of a call from its metadata or argument.
func (cl *call) hashArgument(args any) {
	if !cl.hashMetadata() {
		cl.c.hasher.argument(args, &cl.hashKey)
	}
}

// hashPayload sets the key of a call from its metadata or, if it is JSON, its payload.
func (cl *call) hashPayload() {
	if !cl.hashed && !cl.hashMetadata() && cl.req.Codec == wire.JSON && cl.req.Compression == wire.NoCompression {
		cl.setText(jsonMember(cl.req.Payload, cl.c.hasher.on))
	}
}

// hashMetadata sets the key from the metadata, and reports whether the argument need not be examined.
func (cl *call) hashMetadata() bool {
	h := &cl.c.hasher
	if h.metadata {
		cl.setText(cl.Get(h.on))
	}
	return h.metadata || h.on == ""
}

// callContext passes a call through Options.Wrap.
type callContext struct {
	context.Context //nolint:containedctx // it is one
	call            *call
}

type callKey struct{}

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.Context.Value(key)
}

// AfterFunc saves contexts derived from c a goroutine if the parent has an AfterFunc.
func (c *callContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// keepPacked is the capacity up to which buffers for compressed payloads stay in the pool.
const keepPacked = 64 << 10

// packed caches the payload in every compression that attempts have needed, since different peers accept different ones.
type packed struct {
	mu    sync.Mutex
	forms [wire.Zstd + 1]form
}

type form struct {
	made  bool
	bytes []byte // empty if not shorter than the plain payload
}

// as returns plain compressed with c, or plain itself if that is not longer. The caller must not change the result.
func (p *packed) as(c wire.Compression, plain []byte) ([]byte, wire.Compression, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.forms[min(c, wire.Zstd)]
	if !f.made {
		small, err := wire.AppendCompressed(f.bytes[:0], c, plain)
		if err != nil {
			return nil, 0, err
		}
		if f.made, f.bytes = true, small; len(small) >= len(plain) {
			f.bytes = small[:0]
		}
	}
	if len(f.bytes) == 0 {
		return plain, wire.NoCompression, nil
	}
	return f.bytes, c, nil
}

func (p *packed) reset() {
	for i := range p.forms {
		f := &p.forms[i]
		if f.made, f.bytes = false, f.bytes[:0]; cap(f.bytes) > keepPacked {
			f.bytes = nil
		}
	}
}

package client

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// call is one call, as the Guard sees it. It is used again for other calls when its attempts have ended.
type call struct {
	callOptions
	c       *catalog
	service *service
	req     *wire.Frame // as the caller gave it
	own     wire.Frame  // memory of req, for arguments that are encoded here
	wrapped wire.Frame  // the response, when Options.Wrap is to see it
	packs   bool        // the payload is to be compressed as the options say
	counted bool        // in Client.calls
	headers bool        // the names of its metadata are those of HTTP headers
	whole   bool        // the caller wants of an error's response what the error says, too
	caller  string
	hashKey

	out    atomic.Int64 // attempts
	first  slot
	packed packed
	mu     sync.Mutex
	more   []*slot // of attempts at the same time
}

var calls = sync.Pool{New: func() any {
	cl := new(call)
	cl.first.call = cl
	return cl
}}

// newCall returns a call that is not counted.
func newCall(c *catalog) *call {
	cl := calls.Get().(*call)
	cl.c = c
	cl.codec, cl.compression = c.codec, c.o.Compression
	return cl
}

// end gives the call back, unless a Guard has left attempts behind that still use it.
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

// Upstream and the methods below are what the Guard asks.
func (cl *call) Upstream() string { return cl.c.upstream(cl.req.Service) }

func (cl *call) Service() string { return cl.req.Service }
func (cl *call) Method() string  { return cl.req.Method }
func (cl *call) Caller() string  { return cl.caller }

// Get returns metadata of the request. Names are those of headers when it came over HTTP.
func (cl *call) Get(key string) string {
	if cl.headers {
		return cl.req.Metadata.GetFold(key)
	}
	return cl.req.Metadata.Get(key)
}

func (cl *call) Idempotent() bool {
	return cl.idempotent || wildcard.MatchAny(cl.c.o.Idempotent, cl.req.Method)
}

// run carries out the call under the rules. Its response is in the slot that is returned; nil when there is none.
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
		return nil, failed(code.Internal, "", "the guard of %s has no attempt that went well, and says that all went well", s.name)
	}
	return won, err
}

// Attempt sends the call once, see OutgoingCall.
func (cl *call) Attempt(ctx context.Context, slot int, endpoints EndpointFilter) error {
	cl.out.Add(1)
	defer cl.out.Add(-1)
	return cl.slot(slot).attempt(ctx, endpoints)
}

// Redial brings the next dials of the endpoints forward, see OutgoingCall.
func (cl *call) Redial(slot int, who func(address string) bool) (soon bool) {
	if s := cl.slotIfAny(slot); s == nil || len(s.tried) > s.refused {
		return false
	}
	for _, m := range cl.service.list.Load().members {
		if who == nil || who(m.ep.Address) {
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

// slotIfAny is the slot of an attempt that was made.
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

// finish sends the call and decodes its reply.
func (cl *call) finish(ctx context.Context, reply any) error {
	res, err := cl.carryOut(ctx)
	if e := code.From(err); e != nil && e.Own() {
		err = code.Remote(e) // by a rule of the guard's: to who called the handler that passes it on, it is none of his
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
			_ = d.Decode(res.Codec, res.Payload, reply) // the error is what counts
		}
		return err
	}
	if err := d.Decode(res.Codec, res.Payload, reply); err != nil {
		return failed(code.Internal, code.ReasonBadReply, "the reply of %s.%s: %w", cl.req.Service, cl.req.Method, err)
	}
	return nil
}

// carryOut sends the call through what Options.Wrap has put around. The response is nil when there is none.
func (cl *call) carryOut(ctx context.Context) (*wire.Frame, error) {
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

// Pending is a call that Go has made. Reply and Err are the caller's to read when the Pending has come over Done.
type Pending struct {
	Service string
	Method  string
	Reply   any           // what Go was given, filled when the call has ended well
	Err     error         // of the call, when it has ended
	Done    chan *Pending // gets the Pending when the call has ended
}

func (p *Pending) end(err error) {
	p.Err = err
	select {
	case p.Done <- p:
	default: // as net/rpc has it: a client does not block for a program that does not read
	}
}

// respond carries the call out and gives the response away.
func (cl *call) respond(ctx context.Context, res *wire.Frame) error {
	res.Status = wire.StatusNormal
	won, err := cl.run(ctx)
	if won != nil && won.answered {
		won.into(res, err != nil && !cl.whole)
	}
	return err
}

// hashArgument finds the key of a call that is encoded here.
func (cl *call) hashArgument(args any) {
	if !cl.hashMetadata() {
		cl.c.hasher.argument(args, &cl.hashKey)
	}
}

// hashPayload finds the key of a call that comes encoded. Only JSON is looked into.
func (cl *call) hashPayload() {
	if !cl.hashed && !cl.hashMetadata() && cl.req.Codec == wire.JSON && cl.req.Compression == wire.NoCompression {
		cl.setText(jsonMember(cl.req.Payload, cl.c.hasher.on))
	}
}

// hashMetadata finds the key in the metadata. It is false when the key may be elsewhere.
func (cl *call) hashMetadata() bool {
	h := &cl.c.hasher
	if h.metadata {
		cl.setText(cl.Get(h.on))
	}
	return h.metadata || h.on == ""
}

// callContext carries a call through what Options.Wrap has put around.
type callContext struct {
	context.Context //nolint:containedctx // it is one, with a value more
	call            *call
}

type callKey struct{}

// Value is the call for callKey, and else that of the parent.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.Context.Value(key)
}

// AfterFunc spares contexts that are derived from c a goroutine when the parent is not one of package context.
func (c *callContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

package client

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// call is one call, as the Guard sees it. It is used again for other calls when its attempts have ended.
type call struct {
	callOptions
	c       *Client
	service *service
	req     *wire.Frame // as the caller gave it
	own     wire.Frame  // memory of req, for arguments that are encoded here
	wrapped wire.Frame  // the response, when Options.Wrap is to see it
	packs   bool        // the payload is to be compressed as the options say
	counted bool        // in Client.calls
	headers bool        // the names of its metadata are those of HTTP headers
	whole   bool        // the caller wants of an error's response what the error says, too
	caller  string
	hash    uint64
	hashed  bool

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

// begin makes a call, if there may be one more.
func (c *Client) begin() (*call, error) {
	n := c.calls.Add(1)
	switch {
	case c.shut.Load():
		c.leave()
		return nil, closedError()
	case n > int64(c.o.MaxPending):
		c.leave()
		const most = "too many calls are out already"
		return nil, code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded,
			most+": the client's MaxPending are "+strconv.Itoa(c.o.MaxPending), "", "", 0)).InPublic(most)
	}
	cl := c.fresh()
	cl.counted = true
	return cl, nil
}

// fresh is a call that is not counted.
func (c *Client) fresh() *call {
	cl := calls.Get().(*call)
	cl.c = c
	cl.codec, cl.compression = c.codec, c.o.Compression
	return cl
}

// leave counts a call out.
func (c *Client) leave() {
	if c.calls.Add(-1) == 0 && c.shut.Load() {
		c.hush.Do(func() { close(c.quiet) })
	}
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
	cl.packs, cl.counted, cl.whole, cl.headers, cl.caller, cl.hash, cl.hashed = false, false, false, false, "", 0, false
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

// Attempt sends the call once, see Guarded.
func (cl *call) Attempt(ctx context.Context, slot int, endpoints Endpoints) error {
	cl.out.Add(1)
	defer cl.out.Add(-1)
	return cl.slot(slot).attempt(ctx, endpoints)
}

// Redial brings the next dials of the endpoints forward, see Guarded.
func (cl *call) Redial(slot int, who func(address string) bool) (soon bool) {
	if s := cl.slotIfAny(slot); s == nil || len(s.tried) > s.refused {
		return false
	}
	for _, m := range cl.service.list.Load().members {
		if who == nil || who(m.ep.Address) {
			soon = m.node.hurry() || soon
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

package host_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

type letter struct {
	Text  string
	Pages []string
	Delay time.Duration
	Fail  bool
}

// postman keeps neither argument nor reply, and often takes longer than its rule allows.
type postman struct{}

func (postman) Carry(_ context.Context, args, reply *letter) error {
	reply.Text = args.Text
	time.Sleep(args.Delay)
	reply.Pages = append(reply.Pages, args.Pages...)
	if args.Fail {
		return errors.New("lost")
	}
	return nil
}

func TestValuesThatAreUsedAgainBelongToOneCallAtATime(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Plain(postman{}, registry.As("test.post"), registry.In(reg), registry.Reuse())
	h := hosttest.Start(t, `services: [{name: Post, handler: test.post}]
policies: {rules: [{name: hurry, match: {service: Post}, timeout: 5ms}]}
`, hosttest.Options{Registry: reg})
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			c := h.Dial()
			defer c.Close()
			for n := range 100 {
				text := fmt.Sprint(caller, "/", n)
				args := letter{Text: text, Fail: n%7 == 3}
				if n%5 == 4 {
					args.Delay = time.Duration(n%10) * time.Millisecond
				}
				if n%2 == 0 {
					args.Pages = []string{text}
				}
				var reply letter
				err := hosttest.CallJSON(t.Context(), c, "Post", "Carry", args, &reply)
				switch late := code.Of(err) == code.DeadlineExceeded; {
				case late: // on a busy machine any call may be
				case args.Fail && err == nil, !args.Fail && err != nil:
					t.Errorf("%s: %v", text, err)
				case !args.Fail && (reply.Text != text || len(reply.Pages) != len(args.Pages) || len(reply.Pages) > 0 && reply.Pages[0] != text):
					t.Errorf("%s got %+v", text, reply)
				}
			}
		})
	}
	callers.Wait()
}

// Reuse saves the argument and the reply of each call. What is left is what the handler may keep: its context.
func TestReuseSavesTwoAllocationsACall(t *testing.T) {
	if raceEnabled {
		t.Skip("values are not used again under the race detector")
	}
	perCall := func(opts ...registry.Option) float64 {
		reg := registry.New()
		registry.Plain(postman{}, append(opts, registry.As("test.post"), registry.In(reg))...)
		h := hosttest.Start(t, "services: [{name: Post, handler: test.post}]\n", hosttest.Options{Registry: reg})
		c := h.Dial()
		defer c.Close()
		req, res := wire.Frame{Service: "Post", Method: "Carry", Codec: wire.Msgpack, Payload: []byte{0x80}}, wire.Frame{}
		return testing.AllocsPerRun(2000, func() { must(t, c.Do(t.Context(), &req, &res)) })
	}
	fresh, reused := perCall(), perCall(registry.Reuse())
	if fresh-reused < 2 {
		t.Errorf("%v allocations a call, %v with Reuse, of client and server", fresh, reused)
	}
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Next runs what an interceptor is around: the interceptors after it, and then the handler or, for a call that goes out, the
// upstream. See Intercept.
type Next = func(ctx context.Context) error

// Invocation is a call as an interceptor sees it. It is valid until the interceptor returns, and so is what it refers to, but for
// Args and Reply, which the interceptor may keep without changing them.
type Invocation struct {
	Service, Method string // as the manifest and the handler name them
	Upstream        string // name in the manifest, of a call that goes out; empty for a call that is served
	Caller          string // name of the caller; of a call that goes out, of the caller that is being served

	// Metadata is the metadata of the request and must not be changed. To add some to an outgoing call, pass
	// WithOutgoing(ctx, key, value) to next.
	Metadata Pairs
	// ReplyMetadata is the metadata of the response. For outgoing calls it is set once next has returned.
	ReplyMetadata *Pairs

	// Args points to the argument. It is nil before next in an interceptor that runs before the rules: until they have admitted the
	// call, the argument is not decoded.
	Args any
	// Reply points to the reply: a zero value until next has returned. An interceptor that answers the call itself fills it and does
	// not call next. It may be replaced by another pointer of its type, but not in a call that goes out.
	Reply any
}

// Around adds an interceptor under a name of 1 to 64 characters from A-Z a-z 0-9 . _ - Manifests name it in around: for a
// service, for all services at the top, or for an upstream. It runs around each of their calls, in the order of the manifest,
// after the caller is identified and the rules have admitted the call, unless it has the option BeforeRules.
//
// Options, open and their errors work as in Register; open returns a Service made by Intercept, which may have OnOptions and
// OnClose. An instance is opened for each place that names the interceptor; Env.Service returns the service or the
// upstream, and "" at the top. Of the options of a registration, BeforeRules, Check and In apply.
func Around[O any](name string, defaults O, open func(ctx context.Context, o O, env Env) (*Service, error), opts ...Option) {
	e := &Entry{Name: name, place: callerPlace(1), around: true}
	if open == nil {
		panic(fmt.Sprintf("registry: interceptor %q has no open function", name))
	}
	e.setOptions(reflect.ValueOf(&defaults))
	e.open = func(ctx context.Context, o any, env Env) (*Service, error) { return open(ctx, *optionsOf[O](o), env) }
	e.onOptions = onOptions[O]
	register(e, opts)
}

// BeforeRules has an interceptor run once the caller is identified, before the rules and thus also for calls that they refuse.
// The interceptors of a call that have it run first. For calls that go out it has no effect: interceptors run before the rules
// for clients, once a call, however often it is sent.
func BeforeRules() Option {
	return func(r *registration) { r.entry.beforeRules = true }
}

// Intercept returns the service of an interceptor: fn runs around each call. It calls next at most once, unless the call goes
// out, with ctx or a context made from it, and returns the error of next or another one. An error that is returned without
// calling next refuses the call; like those of handlers, it should have a code. What next does has ended when Intercept returns.
//
// fn must be safe for concurrent use. A panic fails the call with INTERNAL, like one of a handler.
func Intercept(fn func(ctx context.Context, call *Invocation, next Next) error) *Service {
	s := &Service{intercept: fn}
	if fn == nil {
		s.err = errors.New("Intercept was given nil")
	}
	return s
}

// errNextTooLate is the error of a call of next after its interceptor has returned.
var errNextTooLate = errors.New("next was called after the interceptor had returned")

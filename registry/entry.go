package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Entry is a registered handler. It is never changed after registration.
type Entry struct {
	Name     string
	Options  reflect.Type // the struct of the options; nil if the handler takes none
	Defaults any          // a value of Options, not to be changed; nil without options
	Uses     []string     // clients that the handler asks for
	Methods  []*Method    // by name; nil if they are known only once the handler is open
	Skipped  []Skipped    // methods that do not fit, as far as known before opening
	Package  string       // the package that registered it

	place    place
	defaults reflect.Value // a pointer to Options
	open     func(ctx context.Context, o any, env Env) (*Service, error)
}

// DecodeOptions is a pointer to a fresh copy of the defaults with decode run over it; a nil decode leaves them. The
// error is decode's own. For a handler without options decode is run on an empty struct, so that a strict decoder
// rejects any, and the result is nil.
func (e *Entry) DecodeOptions(decode func(into any) error) (any, error) {
	if e.Options == nil {
		if decode == nil {
			return nil, nil
		}
		return nil, decode(new(struct{}))
	}
	o := clone(e.defaults).Interface()
	if decode == nil {
		return o, nil
	}
	return o, decode(o)
}

func (e *Entry) setOptions(defaults reflect.Value) {
	t := defaults.Type()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("registry: handler %q: options are a %v, want a struct", e.Name, t))
	}
	if t.NumField() == 0 {
		return
	}
	e.Options = t
	e.defaults = clone(defaults.Addr())
	e.Defaults = clone(e.defaults).Elem().Interface()
}

// Open makes an instance with the options that decode fills into a copy of the defaults; a nil decode leaves those. env
// may be nil for a handler that asks nothing of it. Errors begin with the handler's name. When ctx ends first, Open
// returns at once, and what comes of the instance later is closed.
func (e *Entry) Open(ctx context.Context, decode func(into any) error, env Env) (*Service, error) {
	o, err := e.DecodeOptions(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.Name, err)
	}
	s, err := e.open(ctx, o, env)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	if s == nil {
		return nil, fmt.Errorf("%s: open: %w", e.Name, errors.New("returned neither a service nor an error"))
	}
	return s, nil
}

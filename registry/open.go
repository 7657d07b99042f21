package registry

import (
	"context"
	"errors"
	"fmt"
)

// Open makes an instance with the options that decode fills into a copy of the defaults; a nil decode leaves those. env
// may be nil for a handler that asks nothing of it. Errors begin with the handler's name. When ctx ends first, Open
// returns at once, and an instance that comes too late is closed.
func (e *Entry) Open(ctx context.Context, decode func(into any) error, env Env) (*Service, error) {
	o, err := e.DecodeOptions(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.Name, err)
	}
	own := &entryEnv{entry: e, host: env}
	build := func(ctx context.Context) (*Service, error) { return e.open(ctx, o, own) }
	s, err := within(ctx, build, closeLate)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	if err := e.accept(s, own); err != nil {
		closeLate(ctx, s)
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	return s, nil
}

// closeLate closes an instance that nobody will use. Its error has no reader: another one has been told by then.
func closeLate(ctx context.Context, s *Service) {
	if s != nil {
		_ = s.Close(context.WithoutCancel(ctx))
	}
}

// accept checks what an open function made against what was declared, and readies it for use.
func (e *Entry) accept(s *Service, env *entryEnv) error {
	if s == nil {
		return errors.New("returned neither a service nor an error")
	}
	if s.err != nil {
		return s.err
	}
	if err := env.undeclared(); err != nil {
		return err
	}
	if err := checkDeclared(s.methods); err != nil {
		return err
	}
	if e.Methods != nil {
		if err := fits(e.Methods, s.methods); err != nil {
			return err
		}
	}
	e.order(s.methods)
	return e.bindOptions(s)
}

// bindOptions gives s the typed way from options in a manifest to its OnOptions.
func (e *Entry) bindOptions(s *Service) error {
	if s.onOptions == nil {
		return nil
	}
	hook, err := e.onOptions(s.onOptions)
	if err != nil {
		return err
	}
	s.configure = func(ctx context.Context, decode func(into any) error) error {
		o, err := e.DecodeOptions(decode)
		if err != nil {
			return fmt.Errorf("%s: options: %w", e.Name, err)
		}
		if err := guarded(ctx, func(ctx context.Context) error { return hook(ctx, o) }); err != nil {
			return fmt.Errorf("%s: reconfigure: %w", e.Name, err)
		}
		return nil
	}
	return nil
}

// checkDeclared sorts methods by name and finds bad and double names.
func checkDeclared(methods []*Method) error {
	sortMethods(methods)
	for i, m := range methods {
		if err := checkMethodName(m.Name); err != nil {
			return err
		}
		if i > 0 && methods[i-1].Name == m.Name {
			return fmt.Errorf("method %q is there twice", m.Name)
		}
	}
	return nil
}

// fits says where what is served differs from what was declared. A manifest is checked against the declaration, so
// neither may have more than the other.
func fits(declared, served []*Method) error {
	has := make(map[string]*Method, len(served))
	for _, m := range served {
		has[m.Name] = m
	}
	for _, d := range declared {
		m, ok := has[d.Name]
		if !ok {
			return fmt.Errorf("method %q is declared, but not served", d.Name)
		}
		if m.Args != d.Args || m.Reply != d.Reply {
			return fmt.Errorf("method %q takes (*%v, *%v), but (*%v, *%v) is declared", d.Name, m.Args, m.Reply, d.Args, d.Reply)
		}
		delete(has, d.Name)
	}
	for _, m := range served {
		if has[m.Name] != nil {
			return fmt.Errorf("method %q is served, but not declared", m.Name)
		}
	}
	return nil
}

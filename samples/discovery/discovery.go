// Package discovery is a handler that says which host it runs in.
package discovery

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// Options of the handler.
type Options struct {
	Host  string        `yaml:"host" doc:"What it calls its host." required:"true"`
	Takes time.Duration `yaml:"takes" doc:"How long an answer takes." min:"0s"`
}

func init() {
	registry.Register("discovery.echo", Options{Takes: 5 * time.Millisecond}, open,
		registry.Methods[Echo](), registry.Example("Say", Text{Text: "hello"}))
}

func open(_ context.Context, o Options, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Echo{o}), nil
}

// Text is what is said.
type Text struct {
	Text string `json:"text"`
}

// Answer is what comes back, and from which host.
type Answer struct {
	Text string `json:"text"`
	Host string `json:"host"`
}

// Echo says what it was told.
type Echo struct{ options Options }

// Say takes a moment, so that there are always calls in flight when a host ends.
func (e *Echo) Say(ctx context.Context, text *Text, answer *Answer) error {
	select {
	case <-time.After(e.options.Takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	*answer = Answer{Text: text.Text, Host: e.options.Host}
	return nil
}

// Package discovery provides a handler that returns the name of its host.
package discovery

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// Options of the handler.
type Options struct {
	Host  string        `yaml:"host" doc:"Name of the host in the answers." required:"true"`
	Takes time.Duration `yaml:"takes" doc:"Time that an answer takes." min:"0s"`
}

func init() {
	registry.Register("discovery.echo", Options{Takes: 5 * time.Millisecond}, open,
		registry.Methods[Echo](), registry.Example("Say", Text{Text: "hello"}))
}

func open(_ context.Context, o Options, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Echo{o}), nil
}

// Text is the argument.
type Text struct {
	Text string `json:"text"`
}

// Answer holds the text and the host that returned it.
type Answer struct {
	Text string `json:"text"`
	Host string `json:"host"`
}

// Echo returns its argument.
type Echo struct{ options Options }

// Say takes a moment, so that there are calls in flight when a host stops.
func (e *Echo) Say(ctx context.Context, text *Text, answer *Answer) error {
	select {
	case <-time.After(e.options.Takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	*answer = Answer{Text: text.Text, Host: e.options.Host}
	return nil
}

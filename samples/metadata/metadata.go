// Package metadata provides a handler that reads request metadata and sets reply metadata.
package metadata

import (
	"context"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

func init() { registry.Plain(new(Greeter)) }

// Who names the person to greet.
type Who struct {
	Name string `json:"name"`
}

// Greeting is the reply.
type Greeting struct {
	Text string `json:"text"`
}

// Greeter greets in the language given in the metadata.
type Greeter struct{}

var words = map[string]string{"": "Hello", "en": "Hello", "fr": "Bonjour", "it": "Ciao"}

// Greet reads lang from the request metadata, and sets lang and greeted in the reply metadata.
func (*Greeter) Greet(ctx context.Context, who *Who, greeting *Greeting) error {
	lang := registry.Metadata(ctx).Get("lang")
	word, ok := words[lang]
	if !ok {
		return code.Errorf(code.InvalidArgument, "no greeting in %q", lang).WithReason("unknown_language")
	}
	if lang == "" {
		lang = "en"
	}
	reply := registry.ReplyMetadata(ctx)
	reply.Set("lang", lang)
	reply.Set("greeted", registry.Caller(ctx))
	greeting.Text = word + ", " + who.Name
	return nil
}

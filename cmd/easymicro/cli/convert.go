package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// converter turns the JSON of a command line into a payload, and a payload into JSON.
type converter struct {
	codec  wire.Codec
	method *registry.Method // nil when its types are not in this binary
}

// convert finds the types of a method in this binary, by the handler that the manifest, or else the running host, gives
// its service.
func (a *app) convert(ctx context.Context, call *call) (*converter, error) {
	c := &converter{codec: call.codec}
	if c.codec == wire.JSON || c.codec == wire.Raw {
		return c, nil
	}
	c.method = a.typesOf(ctx, call.service, call.method)
	switch {
	case c.method != nil:
	case c.codec != wire.Msgpack:
		return nil, failed("the types of %s.%s are not known here, so that its argument cannot be sent as %s: "+
			"name the manifest that serves it with -c, or use --codec json", call.service, call.method, c.codec)
	default:
		a.note("note: the types of %s.%s are not known here: the names of its fields are sent as they are written", call.service, call.method)
	}
	return c, nil
}

func (a *app) typesOf(ctx context.Context, service, method string) *registry.Method {
	handler := a.handlerOf(ctx, service)
	entry, ok := a.registry.Lookup(handler)
	if !ok {
		return nil
	}
	for _, m := range entry.Methods {
		if strings.EqualFold(m.Name, method) {
			return m
		}
	}
	return nil
}

// handlerOf is the handler of a service: in the manifest, or in the running host.
func (a *app) handlerOf(ctx context.Context, service string) string {
	if m, err := a.readManifest(); err == nil && m != nil {
		if s := m.service(service); s != nil {
			return s.Handler
		}
	}
	c, err := a.client()
	if err != nil {
		return ""
	}
	services, err := c.Services(ctx)
	if err != nil {
		return ""
	}
	for i := range services {
		if slices.ContainsFunc(namesOf(&services[i]), func(name string) bool { return strings.EqualFold(name, service) }) {
			return services[i].Handler
		}
	}
	return ""
}

// checkJSON tells what is wrong with an argument that should be JSON, before anything is sent.
func checkJSON(codec wire.Codec, body []byte) error {
	var v any
	if codec == wire.Raw {
		return nil
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return usageError("the argument is no JSON: %w (quote it for the shell: '{\"a\":1}')", err)
	}
	return nil
}

func (c *converter) encode(body []byte) ([]byte, error) {
	if c.codec == wire.Raw || c.codec == wire.JSON {
		return body, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewArgs() })
	if err := unbounded().DecodeHTTP(body, value); err != nil {
		return nil, err
	}
	if c.method == nil {
		untyped, err := withIntegers(body)
		if err != nil {
			return nil, err
		}
		value = untyped
	}
	payload, err := wire.Append(c.codec, nil, value)
	if err != nil {
		return nil, fmt.Errorf("as %s: %w", c.codec, err)
	}
	return payload, nil
}

func (c *converter) decode(payload []byte) ([]byte, error) {
	if c.codec == wire.Raw || c.codec == wire.JSON {
		return payload, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewReply() })
	if err := unbounded().Decode(c.codec, payload, value); err != nil {
		return nil, err
	}
	return wire.AppendHTTP(nil, value)
}

// unbounded is for payloads of the command's own user, and the answers that he asked for.
func unbounded() *wire.Decoding { return &wire.Decoding{MaxBytes: -1} }

// value is a pointer to decode into: of the method's type, or to anything.
func (c *converter) value(of func(*registry.Method) any) any {
	if c.method == nil {
		return new(any)
	}
	return of(c.method)
}

// withIntegers decodes sound JSON without a type. Numbers without a fraction are integers, as they are for a caller that
// has the type: other codecs tell integers and floats apart.
func withIntegers(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return integersIn(v)
}

func integersIn(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		return numberOf(v.String())
	case []any:
		for i := range v {
			if v[i], err = integersIn(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = integersIn(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// numberOf is an integer of 64 bits for what is written without a fraction, also with an exponent: 1e3 is 1000.
func numberOf(text string) (any, error) {
	if strings.Contains(text, ".") {
		return strconv.ParseFloat(text, 64)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(text, "eE") {
		return nil, fmt.Errorf("%s is no integer of 64 bits: write %s.0 to send it as a float", text, text)
	}
	if whole, accuracy := big.NewFloat(f).Int(nil); accuracy == big.Exact {
		switch {
		case whole.IsInt64():
			return whole.Int64(), nil
		case whole.IsUint64():
			return whole.Uint64(), nil
		}
	}
	return f, nil
}

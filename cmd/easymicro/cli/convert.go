package cli

import (
	"encoding/json"
	"fmt"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// converter turns the JSON of a command line into a payload, and a payload into JSON.
type converter struct {
	codec  wire.Codec
	method *registry.Method // nil when its types are not in this binary
}

// convert finds the types of a method in this binary, by the handler that the manifest gives its service.
func (a *app) convert(service, method string, codec wire.Codec) (*converter, error) {
	c := &converter{codec: codec}
	if codec == wire.JSON || codec == wire.Raw {
		return c, nil
	}
	c.method = a.findMethod(service, method)
	if c.method == nil && codec != wire.Msgpack {
		return nil, usageError("the types of %s.%s are not known here, so its argument cannot be sent as %s: "+
			"name the manifest that serves it with -c, or use --codec json", service, method, codec)
	}
	return c, nil
}

func (a *app) findMethod(service, method string) *registry.Method {
	set, err := load.Load(a.manifest, load.Options{})
	if err != nil {
		return nil
	}
	for i := range set.Manifest.Services {
		if set.Manifest.Services[i].Name != service {
			continue
		}
		entry, ok := a.registry.Lookup(set.Manifest.Services[i].Handler)
		if !ok {
			return nil
		}
		for _, m := range entry.Methods {
			if m.Name == method {
				return m
			}
		}
	}
	return nil
}

func (c *converter) encode(body []byte) ([]byte, error) {
	switch {
	case c.codec == wire.Raw:
		return body, nil
	case c.codec == wire.JSON:
		if !json.Valid(body) {
			return nil, fmt.Errorf("%q is no JSON", body)
		}
		return body, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewArgs() })
	if err := wire.DecodeHTTP(body, value); err != nil {
		return nil, err
	}
	return wire.Append(c.codec, nil, value)
}

func (c *converter) decode(payload []byte) ([]byte, error) {
	if c.codec == wire.Raw || c.codec == wire.JSON {
		return payload, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewReply() })
	if err := wire.Decode(c.codec, payload, value); err != nil {
		return nil, err
	}
	return wire.AppendHTTP(nil, value)
}

// value is a pointer to decode into: of the method's type, or to anything.
func (c *converter) value(of func(*registry.Method) any) any {
	if c.method == nil {
		return new(any)
	}
	return of(c.method)
}

// Package schema describes manifests and policy files as JSON Schema, so that an editor completes and checks them.
//
// Everything comes from the types: keys, defaults, bounds and descriptions from those of config, handler names, their
// methods and options from the registry. Editors are not offered what config rejects as not supported yet, and say so
// where it is written. A schema knows the shape of a file, not its meaning: the rest is for `easymicro validate`.
package schema

import (
	"reflect"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// Manifest is the JSON Schema (2020-12) of a manifest for a binary with these handlers. Services are names that an
// editor may suggest where a rule or a route names a service; others are accepted too.
func Manifest(reg *registry.Registry, services ...string) ([]byte, error) {
	b := &builder{handlers: reg.Entries(), services: services}
	s := b.object(reflect.TypeFor[config.Manifest]())
	s.Title = "easymicro manifest"
	s.Description = "Configuration of an easymicro host: easymicro.yaml."
	return b.document(s, "easymicro.schema.json")
}

// Policies is the JSON Schema (2020-12) of a policy file for a binary with these handlers.
func Policies(reg *registry.Registry, services ...string) ([]byte, error) {
	b := &builder{handlers: reg.Entries(), services: services}
	s := b.object(reflect.TypeFor[config.PolicyFile]())
	s.Title = "easymicro policies"
	s.Description = "Rules for the calls of an easymicro host, hot-reloaded."
	return b.document(s, "policies.schema.json")
}

// Package schema generates JSON Schemas of manifests and policy files, for completion and checks in editors.
//
// Keys, defaults, bounds and descriptions come from the types of config; handlers with their methods and options from
// the registry. Fields that are not supported yet are not suggested, and rejected with a message. A schema describes the
// shape of a file, not its meaning: `easymicro validate` checks the rest.
package schema

import (
	"reflect"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// Manifest returns the JSON Schema (2020-12) of a manifest for a binary with these handlers. Editors suggest
// services where a rule or a route names one; others are accepted too.
func Manifest(reg *registry.Registry, services ...string) ([]byte, error) {
	b := &builder{handlers: reg.Entries(), services: services}
	s := b.object(reflect.TypeFor[config.Manifest]())
	s.Title = "easymicro manifest"
	s.Description = "Configuration of an easymicro host: easymicro.yaml."
	return b.document(s, "easymicro.schema.json")
}

// Policies returns the JSON Schema (2020-12) of a policy file for a binary with these handlers.
func Policies(reg *registry.Registry, services ...string) ([]byte, error) {
	b := &builder{handlers: reg.Entries(), services: services}
	s := b.object(reflect.TypeFor[config.PolicyFile]())
	s.Title = "easymicro policies"
	s.Description = "Rules for the calls of an easymicro host, hot-reloaded."
	return b.document(s, "policies.schema.json")
}

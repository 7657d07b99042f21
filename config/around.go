package config

import (
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Around names an interceptor of the binary that runs around calls.
type Around struct {
	Name    string     `yaml:"name" required:"true" pattern:"interceptor" doc:"Name of the interceptor in the registry of the binary."`
	Options RawOptions `yaml:"options" doc:"Options of the interceptor, decoded strictly into its own type."`
}

var (
	aroundType = reflect.TypeFor[Around]()
	aroundList = reflect.TypeFor[[]Around]()
)

// spelledOut returns the mapping for an interceptor written as its name alone.
func spelledOut(n *yaml.Node) *yaml.Node {
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "name", Line: n.Line, Column: n.Column}
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column, Content: []*yaml.Node{key, n}}
}

// AroundPlace is a list of interceptors of a manifest.
type AroundPlace struct {
	Path              string // services[0].around
	Service, Upstream string // whose calls they run around; both empty: those of all services
	List              []Around
}

// Name returns the name of the place in metrics and logs: services, services/Arith, upstreams/billing.
func (p *AroundPlace) Name() string {
	switch {
	case p.Service != "":
		return "services/" + p.Service
	case p.Upstream != "":
		return "upstreams/" + p.Upstream
	default:
		return "services"
	}
}

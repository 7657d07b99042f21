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

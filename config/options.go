package config

import "go.yaml.in/yaml/v4"

// RawOptions are the options of a handler as they stand in the manifest, to be decoded when its type is known.
type RawOptions struct {
	node *yaml.Node
	file string
	path string
}

// IsZero tells that no options are written.
func (o RawOptions) IsZero() bool { return o.node == nil }

package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// RawOptions are the options of a handler as they stand in the manifest, to be decoded when its type is known.
type RawOptions struct {
	node *yaml.Node
	file string
	path string
}

// IsZero tells that no options are written.
func (o RawOptions) IsZero() bool { return o.node == nil }

// Decode decodes the options strictly into what into points to: a struct with the handler's defaults, whose fields keep
// their value where nothing is written. Keys are as FieldName has them; the tags min, max, enum and required count.
// Problems never repeat a value, which may be a secret.
func (o RawOptions) Decode(into any) Problems {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return Problems{{File: o.file, Path: o.path, Message: fmt.Sprintf("options cannot be decoded into a %T", into)}}
	}
	if o.node == nil {
		return nil
	}
	d := o.decoder()
	d.value(o.node, v.Elem(), &field{}, "")
	return d.problems.Sort()
}

func (o RawOptions) decoder() *decoder {
	d := newDecoder(o.file, nil)
	d.scope, d.suggest.quiet, d.prefill = o.path, true, true
	return d
}

// Position is where the options stand.
func (o RawOptions) Position() Position {
	if o.node == nil {
		return Position{File: o.file}
	}
	return Position{File: o.file, Line: o.node.Line, Column: o.node.Column}
}

// Equal tells that both say the same, whatever their order and spelling.
func (o RawOptions) Equal(other RawOptions) bool { return reflect.DeepEqual(o.plain(), other.plain()) }

// plain is the options as maps, lists and words.
func (o RawOptions) plain() any {
	if o.node == nil {
		return nil
	}
	var plain any
	o.decoder().value(o.node, reflect.ValueOf(&plain).Elem(), &field{}, "")
	return plain
}

func optionsOf(v reflect.Value) RawOptions {
	o, _ := v.Interface().(RawOptions)
	return o
}

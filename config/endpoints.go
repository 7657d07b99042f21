package config

import (
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Endpoint is an entry of a file named by resolve.file.
type Endpoint struct {
	Address  Address
	Weight   int // 0 when none is written
	Metadata map[string]string
}

// endpointsFile is the whole of such a file.
type endpointsFile struct {
	Endpoints []listedEndpoint `yaml:"endpoints" required:"true" reload:"live" doc:"The endpoints. To have none write []."`
}

// listedEndpoint is an Endpoint as it is written; its address alone will do.
type listedEndpoint struct {
	Address  Address         `yaml:"address" required:"true" doc:"tcp://host:port, host:port or unix://path."`
	Weight   int             `yaml:"weight" min:"1" max:"1000000" doc:"Share of the calls, where the load balancer weighs. Default: 1."`
	Metadata map[string]word `yaml:"metadata" doc:"What upstreams[].group and load balancers look at; numbers need no quotes."`
}

// word is a scalar as it is written, whatever YAML takes it for.
type word string

// UnmarshalText takes any text.
func (w *word) UnmarshalText(text []byte) error {
	*w = word(text)
	return nil
}

// DecodeEndpoints reads a file of endpoints. One without content is taken for an accident, and so are documents without.
func DecodeEndpoints(file string, data []byte, env func(string) (string, bool)) ([]Endpoint, Problems) {
	var f endpointsFile
	d := newDecoder(file, env)
	if root := d.open(data, reflect.TypeFor[endpointsFile](), "empty: to have no endpoints write `endpoints: []`", false); root != nil {
		spellOut(root)
		d.value(root, reflect.ValueOf(&f).Elem(), &field{}, "")
	}
	problems := d.problems.With(f.check(d.finish()))
	list := make([]Endpoint, 0, len(f.Endpoints))
	for _, e := range f.Endpoints {
		one := Endpoint{Address: e.Address, Weight: e.Weight}
		if e.Metadata != nil {
			one.Metadata = make(map[string]string, len(e.Metadata))
		}
		for key, value := range e.Metadata {
			one.Metadata[key] = string(value)
		}
		list = append(list, one)
	}
	return list, problems.Sort()
}

// spellOut makes endpoints that are an address alone the mappings that they stand for.
func spellOut(root *yaml.Node) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		list := followed(root.Content[i+1])
		if root.Content[i].Value != "endpoints" || list.Kind != yaml.SequenceNode {
			continue
		}
		for j, n := range list.Content {
			if target := followed(n); target.Kind == yaml.ScalarNode && target.ShortTag() != "!!null" {
				key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "address", Line: n.Line, Column: n.Column}
				list.Content[j] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column, Content: []*yaml.Node{key, n}}
			}
		}
	}
}

// followed is what an alias stands for, or the node itself.
func followed(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// check finds addresses that cannot be called, and those that stand there twice.
func (f *endpointsFile) check(at places) Problems {
	var problems Problems
	var seen names
	for i, e := range f.Endpoints {
		path := fmt.Sprintf("endpoints[%d].address", i)
		place := at.position(path)
		key, wrong := e.Address.callable()
		if first, taken := seen.taken(key, place); wrong == "" && taken {
			wrong = fmt.Sprintf("%s stands in line %d already", e.Address, first.Line)
		}
		if wrong != "" && e.Address != "" {
			problems = append(problems, Problem{File: at.file, Line: place.Line, Column: place.Column, Path: path, Message: wrong})
		}
	}
	return problems
}

// callable is what is wrong with an address as one of an endpoint, and what two that are the same have in common.
func (a Address) callable() (key, wrong string) {
	network, address, err := a.Split()
	if err == nil && network == "tcp" {
		err = dialable(address)
	}
	switch {
	case errors.Is(err, ErrAddressLater):
		return "", string(a) + " is where one listens, not where one calls"
	case err != nil:
		return "", err.Error()
	}
	return network + " " + address, ""
}

package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// Bounds of a file.
const (
	maxDepth  = 8
	maxWeight = 1_000_000
)

// nodesDecoder reads a file of endpoints strictly and collects all that is wrong.
type nodesDecoder struct {
	file     string
	problems config.Problems
}

func decodeNodes(file string, data []byte) ([]client.Endpoint, config.Problems) {
	d := &nodesDecoder{file: file}
	root := d.parse(data)
	if root == nil {
		return nil, d.problems
	}
	var list []client.Endpoint
	written := false
	d.pairs(root, "", []string{"endpoints"}, func(name string, value *yaml.Node) {
		written = true
		list = d.list(value, name)
	})
	if !written && len(d.problems) == 0 {
		d.problem(root, "endpoints", "is required")
	}
	return list, d.problems.Sort()
}

type limits struct{}

func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

func (limits) CheckAlias(int, int) error { return nil }

// parse is the root of the one document; nil when there is none, which is a problem.
func (d *nodesDecoder) parse(data []byte) *yaml.Node {
	if len(data) > config.MaxFileBytes {
		return d.refuse(1, 1, "is larger than 1 MiB")
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithUniqueKeys(false), yaml.WithPlugin(limits{}))
	if err != nil {
		return d.refuse(1, 1, err.Error())
	}
	var doc yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		return d.refuse(1, 1, "empty: to have no endpoints write `endpoints: []`")
	case err != nil:
		line, column, message := syntax(err)
		return d.refuse(line, column, message)
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" {
		return d.refuse(1, 1, "empty: to have no endpoints write `endpoints: []`")
	}
	var second yaml.Node
	if err := loader.Load(&second); err == nil {
		return d.refuse(second.Line, second.Column, "a second document begins here: a file holds one, without --- between")
	} else if !errors.Is(err, io.EOF) {
		line, column, message := syntax(err)
		return d.refuse(line, column, message)
	}
	return root
}

// syntax is where the text is no YAML, and why.
func syntax(err error) (line, column int, message string) {
	var load *yaml.LoadError
	if errors.As(err, &load) {
		return max(load.Mark.Line, 1), max(load.Mark.Column, 1), load.Message
	}
	return 1, 1, strings.TrimPrefix(err.Error(), "yaml: ")
}

func (d *nodesDecoder) refuse(line, column int, message string) *yaml.Node {
	d.problems = append(d.problems, config.Problem{File: d.file, Line: line, Column: column, Message: message})
	return nil
}

func (d *nodesDecoder) problem(n *yaml.Node, path, message string) {
	d.problems = append(d.problems, config.Problem{File: d.file, Line: n.Line, Column: n.Column, Path: path, Message: message})
}

// pairs calls each with every pair of a mapping whose key is one of names; nil allows any.
func (d *nodesDecoder) pairs(n *yaml.Node, path string, names []string, each func(name string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		what := "needs keys and values"
		if path == "" {
			what += ", beginning with `endpoints:`"
		}
		d.problem(n, path, what)
		return
	}
	had := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		switch {
		case had[key.Value]:
			d.problem(key, at, "stands there twice")
		case names != nil && !slices.Contains(names, key.Value):
			d.problem(key, at, "unknown key")
			d.problems[len(d.problems)-1].Suggestion = config.Suggest(key.Value, names)
		default:
			each(key.Value, value)
		}
		had[key.Value] = true
	}
}

func (d *nodesDecoder) list(n *yaml.Node, path string) []client.Endpoint {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "needs a list: to have no endpoints write `[]`")
		return nil
	}
	list := make([]client.Endpoint, 0, len(n.Content))
	had := map[string]int{}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		before := len(d.problems)
		e := d.endpoint(item, at)
		if len(d.problems) > before {
			continue
		}
		if line, twice := had[e.Address]; twice {
			if item.Kind == yaml.MappingNode {
				at += ".address"
			}
			d.problem(item, at, fmt.Sprintf("%s stands in line %d already", e.Address, line))
			continue
		}
		had[e.Address] = item.Line
		list = append(list, e)
	}
	return list
}

func (d *nodesDecoder) endpoint(n *yaml.Node, path string) client.Endpoint {
	var e client.Endpoint
	before := len(d.problems)
	if n.Kind == yaml.ScalarNode {
		e, err := parseAddress(d.text(n, path))
		if err != nil && len(d.problems) == before {
			d.problem(n, path, err.Error())
		}
		return e
	}
	d.pairs(n, path, []string{"address", "weight", "metadata"}, func(name string, value *yaml.Node) {
		at := path + "." + name
		switch name {
		case "address":
			address, err := parseAddress(d.text(value, at))
			if err != nil && len(d.problems) == before {
				d.problem(value, at, err.Error())
			}
			e.Network, e.Address = address.Network, address.Address
		case "weight":
			e.Weight = d.weight(value, at)
		case "metadata":
			e.Metadata = map[string]string{}
			d.pairs(value, at, nil, func(key string, value *yaml.Node) { e.Metadata[key] = d.text(value, at+"."+key) })
		}
	})
	if e.Address == "" && len(d.problems) == before {
		d.problem(n, path+".address", "is required")
	}
	return e
}

func (d *nodesDecoder) weight(n *yaml.Node, path string) int {
	w, err := strconv.Atoi(n.Value)
	if err != nil || n.ShortTag() != "!!int" || w < 1 || w > maxWeight {
		d.problem(n, path, fmt.Sprintf("needs a whole number from 1 to %d", maxWeight))
		return 0
	}
	return w
}

// text is a scalar as it is written.
func (d *nodesDecoder) text(n *yaml.Node, path string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.problem(n, path, "needs a text")
		return ""
	}
	return n.Value
}

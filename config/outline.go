package config

import "go.yaml.in/yaml/v4"

// Outline is what stands at the top level of a file.
type Outline struct {
	Keys  []string // of a mapping, in the order of the file, without those that are ignored
	List  bool     // it is a list
	Rules bool     // of rules, which belongs under the key rules
	Blank bool     // it has documents, and nothing in them
}

// OutlineOf reads the top level of a file. That of what is no YAML is empty.
func OutlineOf(data []byte) Outline {
	root, blank, problem := parse(data)
	if root == nil || problem != nil {
		return Outline{Blank: blank && problem == nil}
	}
	o := Outline{List: root.Kind == yaml.SequenceNode}
	if root.Kind != yaml.MappingNode {
		o.Rules = isListOfRules(root)
		return o
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; !isExtension(key) {
			o.Keys = append(o.Keys, key)
		}
	}
	return o
}

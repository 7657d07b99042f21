package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// otherFile says what a file is instead of what it is taken for, or nothing: each of its keys would be told as unknown
// otherwise.
func otherFile(root *yaml.Node, wanted reflect.Type) string {
	first := root
	if root.Kind == yaml.SequenceNode && len(root.Content) > 0 {
		first = root.Content[0]
	}
	if first.Kind != yaml.MappingNode {
		return ""
	}
	isList := root.Kind == yaml.SequenceNode
	isRules, isToken := isListOfRules(root), hasKey(first, "sha256")
	switch policies, tokens := wanted == reflect.TypeFor[policyFile](), wanted == reflect.TypeFor[[]Token](); {
	case !isList && hasKey(root, "apiVersion") && hasKey(root, "kind"):
		return kubernetesObject(root)
	case tokens && !isList && hasKey(root, "rules"):
		return "is a policy file, which belongs under policies.files; a file of tokens is a list of {caller, sha256}"
	case tokens && isRules:
		return "is a list of rules: write rules: above it, and name the file under policies.files; a file of tokens is a list of {caller, sha256}"
	case policies && isList && isToken && !isRules:
		return "is a list of tokens, which belongs under auth.tokens.file; a policy file is a mapping with the key rules"
	case policies && isRules:
		return "must be a mapping with the key rules, not a list: write rules: above it"
	case policies && !isList && hasKey(root, "services") && !hasKey(root, "rules"):
		return "is a manifest, not a policy file, which is a mapping with the key rules"
	}
	return ""
}

// isListOfRules reports whether the first element of a list is a rule, by its keys.
func isListOfRules(root *yaml.Node) bool {
	return root.Kind == yaml.SequenceNode && len(root.Content) > 0 && hasKey(root.Content[0], "match") && !hasKey(root.Content[0], "sha256")
}

// kubernetesObject says what to take out of an object.
func kubernetesObject(root *yaml.Node) string {
	kind := ""
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "kind" {
			kind = root.Content[i+1].Value
		}
	}
	if kind == "ConfigMap" || kind == "Secret" {
		return fmt.Sprintf("is a Kubernetes object (%s): mount it, and name the files that it is mounted as; here stands what is under its data", kind)
	}
	return fmt.Sprintf("is a Kubernetes object (%s), which is not understood: easymicro schema shows the fields of its own files", clip(kind))
}

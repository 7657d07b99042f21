package cli

import (
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

type fileKind int

const (
	manifestFile fileKind = iota
	policyFile
	tokenFile
)

// kindOf tells by its top level what a file is. What cannot be told is checked as a manifest.
func kindOf(data []byte) fileKind {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return manifestFile
	}
	top := doc.Content[0]
	if top.Kind == yaml.SequenceNode {
		return tokenFile
	}
	kind := manifestFile
	for i := 0; i+1 < len(top.Content); i += 2 {
		switch top.Content[i].Value {
		case "services":
			return manifestFile
		case "rules":
			kind = policyFile
		}
	}
	return kind
}

// checkPolicies finds what is wrong with the rules of one file, whatever the host that they are for.
func checkPolicies(file string, data []byte) checked {
	rules, problems := config.DecodeRules(file, data, os.LookupEnv)
	manifest, _ := config.DecodeManifest(file, []byte("services: []"), nil)
	set := &config.Set{Manifest: manifest, Rules: rules}
	var found config.Problems
	for _, p := range set.Validate() {
		if !strings.HasPrefix(p.Path, "services") {
			found = append(found, p)
		}
	}
	problems = problems.With(found)
	if problems.Err() == nil {
		problems = problems.With(policies.ValidateTies(rules))
	}
	return checked{file, "a policy file, checked without its host", problems}
}

// fromHere is the path of a file that belongs to a manifest, from the current folder when it is below it. Flags and
// variables stay as they are named.
func fromHere(manifest, file string) string {
	if file == "" || strings.HasPrefix(file, "-") || strings.HasPrefix(file, "EASYMICRO_") || file == manifest {
		return relative(file)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(manifest), file)
	}
	return relative(file)
}

func relative(file string) string {
	if !filepath.IsAbs(file) {
		return file
	}
	here, err := os.Getwd()
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

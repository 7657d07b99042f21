package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

type fileKind int

const (
	manifestFile fileKind = iota
	policyFile
	tokenFile
	endpointFile
)

// kindOf tells by its top level what a file is. What cannot be told is checked as a manifest.
func kindOf(top config.Outline) fileKind {
	switch {
	case top.Rules:
		return policyFile // without its key, which is told
	case top.List:
		return tokenFile
	case slices.Contains(top.Keys, "services"):
		return manifestFile
	case slices.Contains(top.Keys, "rules"):
		return policyFile
	case slices.Contains(top.Keys, "endpoints"):
		return endpointFile
	}
	return manifestFile
}

// anyHost is the manifest that a file is checked with which is taken alone: of it nothing is known, so that nothing is to
// be wrong with the file because of it. Its callers may have names.
const anyHost = "services: []\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n"

// checkPolicies finds what is wrong with the rules of one file, whatever the host that they are for.
func checkPolicies(file string, data []byte) checked {
	rules, problems := config.DecodeRules(file, data, os.LookupEnv)
	problems = problems.With(checkAlone(file, &config.Set{Rules: rules}))
	if problems.Err() == nil {
		problems = problems.With(append(policies.ValidateTies(rules), policies.ValidatePointless(rules)...))
	}
	return checked{file, "a policy file, checked without its host", problems}
}

// checkTokens finds what is wrong with a file of tokens.
func checkTokens(file string, data []byte) checked {
	tokens, problems := config.DecodeTokens(file, data, os.LookupEnv)
	return checked{file, "a file of tokens", problems.With(checkAlone(file, &config.Set{Tokens: tokens}))}
}

// checkEndpoints finds what is wrong with a file of endpoints.
func checkEndpoints(file string, data []byte) checked {
	_, problems := config.DecodeEndpoints(file, data, os.LookupEnv)
	return checked{file, "a file of endpoints", problems}
}

// checkAlone finds what is wrong with a set that is one file.
func checkAlone(file string, set *config.Set) config.Problems {
	set.Manifest, _ = config.DecodeManifest("", []byte(anyHost), nil)
	var found config.Problems
	for _, p := range set.Validate() {
		if p.File == file {
			found = append(found, p)
		}
	}
	return found
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

package host

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// arrangement places files among those of a set.
type arrangement struct {
	name     string // of the manifest
	manifest *config.Manifest
	texts    map[string][]byte // by path as shown
	others   []string          // policy files that have not been replaced
}

// place puts files in place of those of the same name. With prune it removes the other policy files.
func (a *arrangement) place(list []admin.ApplyFile, prune bool) error {
	if len(list) == 0 {
		return admin.Errorf(admin.CodeBadRequest, "no files to apply")
	}
	before, total, visible := slices.Clone(a.others), 0, a.variables()
	placed := make(map[string]string)
	for _, f := range list {
		at, err := a.pathOf(before, f.Path)
		if err != nil {
			return err
		}
		if other, ok := placed[at]; ok {
			return admin.Errorf(admin.CodeBadRequest, "%s and %s are both %s of the host", other, f.Path, at)
		}
		if len(f.Text) > config.MaxFileBytes {
			return config.Problems{{File: f.Path, Line: 1, Column: 1, Message: fmt.Sprintf("is too large: the limit is %d MiB", config.MaxFileBytes>>20)}}
		}
		if err := hiddenVariables(at, f.Text, visible).Err(); err != nil {
			return err
		}
		placed[at], a.texts[at] = f.Path, []byte(f.Text)
		a.others = slices.DeleteFunc(a.others, func(path string) bool { return path == at })
	}
	for _, other := range a.others {
		if prune {
			delete(a.texts, other)
		}
	}
	for text := range maps.Values(a.texts) {
		total += len(text)
	}
	if total > load.MaxSetBytes {
		return admin.Errorf(admin.CodeRejected, "the set has more than %d MiB", load.MaxSetBytes>>20)
	}
	return nil
}

// variables returns the names of the variables that the policy files use: their values can be seen in the rules.
func (a *arrangement) variables() map[string]bool {
	names := make(map[string]bool)
	for _, file := range a.others {
		for _, v := range config.VariablesOf(file, a.texts[file]) {
			names[v.Name] = true
		}
	}
	return names
}

// hiddenVariables returns problems of a file that uses other variables than visible ones: the rules would show an operator their
// values, which may be secrets of the host.
func hiddenVariables(file, text string, visible map[string]bool) (problems config.Problems) {
	for _, v := range config.VariablesOf(file, []byte(text)) {
		if !visible[v.Name] {
			problems = append(problems, config.Problem{
				File: file, Line: v.Line, Column: v.Column,
				Message: "${" + code.Clip(v.Name, 64) + "} cannot be applied: no policy file of the host uses this variable. Write its value, or save the file on the host",
			})
		}
	}
	return problems
}

// maxFileName is the longest name that file systems have.
const maxFileName = 255

// pathOf returns the path as shown of the policy file that a file replaces or, if it is new, its own.
func (a *arrangement) pathOf(known []string, name string) (string, error) {
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if slices.Contains(known, name) {
		return name, nil
	}
	base := path.Base(name)
	same := slices.DeleteFunc(slices.Clone(known), func(other string) bool { return path.Base(other) != base })
	switch {
	case len(same) == 1:
		return same[0], nil
	case base == a.name:
		return "", admin.Errorf(admin.CodeBadRequest, "%s is the manifest of the host", base).WithHelp("apply takes policy files: edit the manifest")
	case len(same) > 1:
		return "", admin.Errorf(admin.CodeBadRequest, "%s is the name of several policy files", base).
			WithHelp("name one by its path from the manifest: %s", strings.Join(same, ", "))
	}
	if len(base) > maxFileName || strings.ContainsFunc(base, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return "", admin.Errorf(admin.CodeBadRequest, "%q is not the name of a policy file", code.Clip(base, 100)).
			WithHelp("name it with at most %d bytes, without control characters", maxFileName)
	}
	patterns := a.manifest.Policies.Files
	if at := load.NewFile(patterns, base); at != "" {
		return at, nil
	}
	e := admin.Errorf(admin.CodeBadRequest, "%s would not be a policy file of the host", code.Clip(base, 100))
	if len(patterns) == 0 {
		return "", e.WithHelp("policies.files of its manifest is empty: add a pattern such as policies.d/*.yaml")
	}
	return "", e.WithHelp("a new one must match policies.files of its manifest: %s; its policy files: %s",
		strings.Join(patterns, ", "), cmp.Or(strings.Join(known, ", "), "none"))
}

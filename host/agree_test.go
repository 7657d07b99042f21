package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
	fileset "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// corpusEnv is the environment of config/testdata.
func corpusEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"RATE": "500", "NAME": "arith", "EMPTY": "", "LEVEL": "loud", "NESTED": "${RATE}", "INJECT": "x\nb: [1, 2]", "TIME": "800ms",
	}[name]
	return value, ok
}

// atOnce is the source of a manifest that reads each content once: nothing is writing it.
type atOnce string

func (path atOnce) Load(context.Context) (*config.Set, error) {
	return fileset.Load(string(path), fileset.Options{Env: corpusEnv, Reload: true})
}

func (path atOnce) Hash() (string, error) {
	r, err := fileset.Read(string(path), fileset.Options{})
	if err != nil {
		return "", err
	}
	return r.Hash(), nil
}

func (path atOnce) Dirs() []string { return nil }

// refused returns the problems of an error, from validate or from a host.
func refused(err error) []string {
	var problems config.Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &problems):
		return strings.Split(problems.Errors().Error(), "\n")
	}
	return []string{err.Error()}
}

// agree does something to the files of a running host, and fails unless validate, a start and an edit say the same of
// what is there then: that it is valid, or its problems. It returns what they say.
func agree(t *testing.T, reg *registry.Registry, files map[string]string, do func(dir string)) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		writeFile(t, filepath.Join(dir, name), text)
	}
	path := filepath.Join(dir, "easymicro.yaml")
	set, err := fileset.Load(path, fileset.Options{Env: corpusEnv})
	must(t, err)
	h, err := host.Open(t.Context(), set, host.Options{Registry: reg, Source: atOnce(path)})
	must(t, err)
	defer h.Close()
	host.SecondLookAfter(h, time.Millisecond)
	do(dir)

	loaded, err := fileset.Load(path, fileset.Options{Env: corpusEnv})
	validate := refused(err)
	if err == nil {
		validate = refused(host.Check(loaded, reg).Err())
	}
	start := validate
	if err == nil {
		other, err := host.Open(t.Context(), loaded, host.Options{Registry: reg})
		start = refused(err)
		if err == nil {
			other.Close()
		}
	}
	_, err = h.Reload(t.Context(), host.SourceAdmin, "a test")
	edit := refused(err)
	if diff := cmp.Diff(validate, start); diff != "" {
		t.Errorf("validate and a start differ (-validate +start): %s", diff)
	}
	if diff := cmp.Diff(validate, edit); diff != "" {
		t.Errorf("validate and an edit differ (-validate +edit): %s", diff)
	}
	if running := h.Set() == set; running != (validate != nil) && set.Hash != h.Set().Hash {
		t.Errorf("refused: %v, and the set before it runs: %v", validate, running)
	}
	return validate
}

// corpusRegistry has the handlers that the corpus names.
func corpusRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	reg := newPlant(t).reg
	registry.Plain(arith{}, registry.In(reg), registry.As("samples.arith"))
	return reg
}

const corpusManifest = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: samples.arith}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies: {files: [p.yaml]}
`

func TestWhatValidateRefusesAnEditRefusesOverTheCorpus(t *testing.T) {
	reg := corpusRegistry(t)
	files := map[string]string{"easymicro.yaml": corpusManifest, "p.yaml": "rules: []\n", "tokens.yaml": "[]\n"}
	var all []string
	for _, pattern := range []string{"../config/testdata/bad/*.yaml", "../config/testdata/good/*.yaml"} {
		some, err := filepath.Glob(pattern)
		if err != nil || len(some) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		all = append(all, some...)
	}
	told := 0
	for _, path := range all {
		name := filepath.Base(path)
		t.Run(filepath.Base(filepath.Dir(path))+"/"+name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			must(t, err)
			target := "p.yaml"
			switch {
			case strings.HasPrefix(name, "manifest-"):
				target = "easymicro.yaml"
			case strings.HasPrefix(name, "tokens-"):
				target = "tokens.yaml"
			}
			if agree(t, reg, files, func(dir string) { writeFile(t, filepath.Join(dir, target), string(text)) }) != nil {
				told++
			}
		})
	}
	if told < 100 {
		t.Errorf("only %d files are refused", told)
	}
}

// What stands at a path of the set, besides the file that belongs there.
func odd(t *testing.T) map[string]func(path string) {
	t.Helper()
	instead := func(do func(path string) error) func(string) {
		return func(path string) {
			must(t, os.RemoveAll(path))
			must(t, do(path))
		}
	}
	return map[string]func(path string){
		"gone":                         instead(func(string) error { return nil }),
		"a link that leads nowhere":    instead(func(path string) error { return os.Symlink("nowhere", path) }),
		"a link to itself":             instead(func(path string) error { return os.Symlink(filepath.Base(path), path) }),
		"a folder":                     instead(func(path string) error { return os.Mkdir(path, 0o755) }),
		"a file without content":       instead(func(path string) error { return os.WriteFile(path, nil, 0o600) }),
		"a file with blanks":           instead(func(path string) error { return os.WriteFile(path, []byte(" \n\n"), 0o600) }),
		"a file with a blank document": instead(func(path string) error { return os.WriteFile(path, []byte("---\n# none\n"), 0o600) }),
		"a file that is cut":           instead(func(path string) error { return os.WriteFile(path, []byte("rules:\n  - name: a\n    mat"), 0o600) }),
		"a file that is too large":     instead(func(path string) error { return os.WriteFile(path, make([]byte, config.MaxFileBytes+1), 0o600) }),
	}
}

func TestWhatValidateRefusesAnEditRefusesWhateverBecomesOfFilesAndFolders(t *testing.T) {
	t.Parallel()
	reg := deskPlant(t).reg
	manifest := func(allowEmpty string) string {
		return `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0", tokenFile: admin.token}
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, resolve: {file: nodes.yaml}, tls: {caFile: ca.pem}}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies: {files: [base/*.yaml, cur/*.yaml, "deep/*/p.yaml", named.yaml, in/named.yaml], allowEmpty: ` + allowEmpty + "}\n"
	}
	lock := func(name string) string {
		return "rules: [{name: " + name + ", match: {service: Desk}, access: {deny: [{caller: evil}]}}]\n"
	}
	files := map[string]string{
		"base/a.yaml": lock("base"), "cur/lock.yaml": lock("cur"), "deep/one/p.yaml": lock("deep"), "named.yaml": lock("named"), "in/named.yaml": lock("in"),
		"tokens.yaml": "[]\n", "nodes.yaml": "endpoints: []\n", "ca.pem": hosttest.NewAuthority(t).PEM, "admin.token": "secret\n",
	}
	const (
		refusedAlways = iota
		allowed       // always
		asAllowed     // with allowEmpty: true
	)
	rules := map[string]int{"gone": asAllowed, "a file with a blank document": allowed}
	folder := map[string]int{"gone": asAllowed, "a folder": asAllowed} // an empty one
	for path, exceptions := range map[string]map[string]int{
		"cur/lock.yaml": rules, "deep/one/p.yaml": rules, "named.yaml": rules, "in/named.yaml": rules,
		"cur": folder, "deep": folder, "in": folder,
		"deep/one": {
			"gone": asAllowed, "a folder": asAllowed, // what is no folder does not match
			"a file without content": asAllowed, "a file with blanks": asAllowed, "a file with a blank document": asAllowed, "a file that is cut": asAllowed, "a file that is too large": asAllowed,
		},
		"tokens.yaml":    nil,
		"nodes.yaml":     {"gone": allowed}, // it is followed, and may come
		"ca.pem":         nil,
		"easymicro.yaml": nil,
		"admin.token":    {"a file with a blank document": allowed, "a file that is cut": allowed}, // any text is a token
	} {
		for name, do := range odd(t) {
			for _, allowEmpty := range []string{"false", "true"} {
				t.Run(path+" is "+name+", allowEmpty "+allowEmpty, func(t *testing.T) {
					files["easymicro.yaml"] = manifest(allowEmpty)
					told := agree(t, reg, files, func(dir string) { do(filepath.Join(dir, path)) })
					want := exceptions[name] == refusedAlways || exceptions[name] == asAllowed && allowEmpty == "false"
					if (told != nil) != want {
						t.Errorf("refused %v: %q, want %v", told != nil, told, want)
					}
				})
			}
		}
	}
}

package samples_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/registry"
)

// folders returns the directories of the samples; one with a go.mod is a separate module with its own tests.
func folders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(e.Name(), "go.mod")); e.IsDir() && err != nil {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestThereIsASampleForEachFeature(t *testing.T) {
	found := folders(t)
	for _, want := range []string{
		"quickstart", "error", "metadata", "serialize", "timeout", "keepalive", "ratelimit", "circuitbreaker", "gateway", "metrics",
		"upstream", "client", "discovery", "gatewayalone", "rollback", "policytest", "tls", "jwt", "overload", "lifecycle", "systemd",
		"kubernetes",
	} {
		if !slices.Contains(found, want) {
			t.Errorf("no sample %s", want)
		}
	}
}

func TestEverySampleHasManifestReadmeAndTest(t *testing.T) {
	for _, name := range folders(t) {
		for _, pattern := range []string{"easymicro.yaml", "README.md", "*_test.go"} {
			if files, err := filepath.Glob(filepath.Join(name, pattern)); err != nil || len(files) == 0 {
				t.Errorf("%s has no %s", name, pattern)
			}
		}
	}
}

// made has the commands that make files for samples, and the folders of these.
var made = map[string]struct{ command, folder string }{"tls": {"./tls/certs", "pki"}, "jwt": {"./jwt/tokens", "keys"}}

// copySample copies a sample to a folder, with the files that its command makes.
func copySample(t *testing.T, name, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	m, ok := made[name]
	if !ok {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "go", "run", m.command, "-dir", filepath.Join(to, m.folder)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestEveryManifestIsWithoutProblems(t *testing.T) {
	for _, name := range folders(t) {
		folder := name
		if _, ok := made[name]; ok {
			folder = t.TempDir()
			copySample(t, name, folder)
		}
		set, err := load.Load(filepath.Join(folder, "easymicro.yaml"), load.Options{})
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		for _, p := range host.Check(set, registry.Default()) { // warnings count, too
			t.Errorf("%s: %s", name, p)
		}
	}
}

func TestEditorsKnowEveryFileBySchema(t *testing.T) {
	for _, name := range folders(t) {
		for file, schema := range map[string]string{"easymicro.yaml": "easymicro", "policies.yaml": "policies"} {
			text, err := os.ReadFile(filepath.Join(name, file))
			if os.IsNotExist(err) {
				continue
			}
			first, _, _ := strings.Cut(string(text), "\n")
			if want := "# yaml-language-server: $schema=../../schema/" + schema + ".schema.json"; first != want {
				t.Errorf("%s/%s begins with %q, want %q", name, file, first, want)
			}
		}
	}
}

func TestReadmesNameExistingFiles(t *testing.T) {
	for _, name := range folders(t) {
		text, err := os.ReadFile(filepath.Join(name, "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if want := "serve -c samples/" + name + "/easymicro.yaml"; !strings.Contains(string(text), want) {
			t.Errorf("%s/README.md does not say how to run it: %s", name, want)
		}
		for word := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return strings.ContainsRune(" \n`'\"(),:[]", r) }) {
			file, ok := strings.CutPrefix(word, "samples/")
			sample, path, _ := strings.Cut(file, "/")
			if m, makes := made[sample]; !ok || makes && strings.HasPrefix(path, m.folder+"/") {
				continue
			}
			if _, err := os.Stat(strings.TrimSuffix(file, ".")); err != nil {
				t.Errorf("%s/README.md names %s, which does not exist", name, word)
			}
		}
	}
}

var (
	commandLine = regexp.MustCompile("easymicro ([a-z]+ [^|;`\n]*|[a-z]+)")
	shellWord   = regexp.MustCompile(`'[^']*'|[^\s']+`)
)

// With --help a command checks its name and flags, and does nothing else.
func TestReadmesUseExistingCommands(t *testing.T) {
	for _, name := range folders(t) {
		text, err := os.ReadFile(filepath.Join(name, "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		commands := 0
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "$ ") {
				continue
			}
			for _, m := range commandLine.FindAllStringSubmatch(line, -1) {
				commands++
				var args []string
				for _, word := range shellWord.FindAllString(m[1], -1) {
					args = append(args, strings.Trim(word, "'"))
				}
				var stderr bytes.Buffer
				if exit := cli.Run(t.Context(), append(args, "--help"), cli.IO{In: strings.NewReader(""), Out: io.Discard, Err: &stderr}); exit != cli.ExitOK {
					t.Errorf("%s/README.md: easymicro %s: %s", name, m[1], stderr.String())
				}
			}
		}
		if commands == 0 {
			t.Errorf("%s/README.md types no command", name)
		}
	}
}

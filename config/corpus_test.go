package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

// testEnv is the environment of the corpus.
func testEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"RATE": "500", "NAME": "arith", "EMPTY": "", "LEVEL": "loud", "NESTED": "${RATE}", "INJECT": "x\nb: [1, 2]", "TIME": "800ms",
	}[name]
	return value, ok
}

// decodeAny decodes by the name of the file: policies (the default), manifest-…, tokens-…, admintokens-… or policytest-….
func decodeAny(t *testing.T, path string) config.Problems {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := decodeSet(filepath.Base(path), data)
	return problems
}

// decodeSet decodes a set of one file, by its name, and validates it.
func decodeSet(name string, data []byte) (*config.Set, config.Problems) {
	set := &config.Set{}
	var problems config.Problems
	if strings.HasPrefix(name, "policytest-") {
		set.Manifest, _ = config.DecodeManifest("around.yaml", []byte("services: []"), nil)
		_, problems = config.DecodePolicyTest(name, data, testEnv)
		return set, problems
	}
	around := "services: [{name: Arith, handler: samples.arith}]\nauth: {identify: [token], tokens: {file: t.yaml}}"
	if strings.HasPrefix(name, "manifest-") {
		set.Manifest, problems = config.DecodeManifest(name, data, testEnv)
		set.Rules = set.Manifest.Policies.Rules
	} else {
		set.Manifest, _ = config.DecodeManifest("around.yaml", []byte(around), nil)
	}
	switch {
	case strings.HasPrefix(name, "admintokens-"):
		set.Operators, problems = config.DecodeAdminTokens(name, data, testEnv)
	case strings.HasPrefix(name, "tokens-"):
		set.Tokens, problems = config.DecodeTokens(name, data, testEnv)
	case !strings.HasPrefix(name, "manifest-"):
		set.Rules, problems = config.DecodeRules(name, data, testEnv)
	}
	return set, problems.With(set.Validate())
}

var (
	wantComment = regexp.MustCompile(`# want(?:\[(\d+)\])? (".*")\s*$`)
	positioned  = regexp.MustCompile(`^[^:]+:(\d+):(\d+): `)
)

// wanted returns the problems in the # want comments of a file: the line, the column if given, and the text. A comment
// may have several: "a" "b".
func wanted(t *testing.T, data []byte) (want []string) {
	t.Helper()
	for i, line := range bytes.Split(data, []byte("\n")) {
		m := wantComment.FindSubmatch(line)
		if m == nil {
			continue
		}
		for rest := string(m[2]); rest != ""; rest = strings.TrimSpace(rest) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				t.Fatalf("line %d: %v in %s", i+1, err, rest)
			}
			text, _ := strconv.Unquote(quoted)
			rest = rest[len(quoted):]
			at := strconv.Itoa(i + 1)
			if len(m[1]) > 0 {
				at += ":" + string(m[1])
			}
			want = append(want, at+": "+text)
		}
	}
	return want
}

func TestEveryBadFileHasExactlyItsProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 60 {
		t.Errorf("%d bad files, want at least 60", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := wanted(t, data)
			if len(want) == 0 {
				t.Fatal("the file has no # want comment")
			}
			var got []string
			for i, p := range decodeAny(t, file) {
				if page, ok := lint.PageOf(p.Code); !ok || page.Warning != p.Warning {
					t.Errorf("%s is reported with the code %q, warning: %v", p, p.Code, p.Warning)
				}
				m := positioned.FindStringSubmatch(p.String())
				if m == nil {
					t.Fatalf("problem without a place: %s", p)
				}
				at := m[1]
				if i < len(want) && strings.HasPrefix(want[i], m[1]+":"+m[2]+": ") {
					at += ":" + m[2]
				}
				text := strings.TrimPrefix(p.String(), m[0])
				if p.Warning {
					text = "warning: " + text
				}
				got = append(got, at+": "+text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// Each kind has a file with a problem of its own, and one without.
func TestEveryKindIsInTheCorpus(t *testing.T) {
	for _, kind := range config.Kinds() {
		for glob, pattern := range map[string]string{
			"testdata/bad/*.yaml":           `# want.* "(warning: )?rules\[\d+\]\.` + string(kind) + `\b`,
			"testdata/good/policies-*.yaml": `\b` + string(kind) + `: `,
		} {
			files, err := filepath.Glob(glob)
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(files, func(file string) bool {
				data, err := os.ReadFile(file)
				return err == nil && !strings.HasPrefix(filepath.Base(file), "rule-side-") && regexp.MustCompile(pattern).Match(data)
			})
			if !found {
				t.Errorf("no file of %s is about %s", glob, kind)
			}
		}
	}
}

func TestEveryGoodFileHasNoProblem(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Errorf("%d good files, want at least 8", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, p := range decodeAny(t, file) {
				t.Error(p)
			}
		})
	}
}

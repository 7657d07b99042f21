package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the licences that the binary prints")

const (
	licensesDir = "cli/licenses"
	lesserGPL   = "github.com/juju/ratelimit"
)

// linkedModules returns the modules, with their directories, whose packages a binary may contain on any platform.
func linkedModules(t *testing.T) map[string][]string {
	t.Helper()
	linked := map[string][]string{}
	for _, lists := range list(t) {
		for _, l := range lists {
			if l.Module == nil || l.Module.Path == module {
				continue
			}
			for dir := l.Dir; strings.HasPrefix(dir, l.Module.Dir); dir = filepath.Dir(dir) {
				if !slices.Contains(linked[l.Module.Path], dir) {
					linked[l.Module.Path] = append(linked[l.Module.Path], dir)
				}
			}
		}
	}
	for _, dirs := range linked {
		slices.Sort(dirs)
	}
	return linked
}

func TestNoticeNamesEveryLinkedModule(t *testing.T) {
	words := strings.Fields(readText(t, filepath.Join(root, "NOTICE")))
	for _, m := range slices.Sorted(maps.Keys(linkedModules(t))) {
		if !slices.Contains(words, m) {
			t.Errorf("NOTICE does not name %s: read its licence and add it", m)
		}
	}
}

// The licences that the binary prints are those in the modules' sources.
func TestLicensesOfLinkedModulesArePrinted(t *testing.T) {
	want := licenses(t)
	path := filepath.Join(licensesDir, "licenses.txt")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if readText(t, path) != want {
		t.Errorf("cmd/easymicro/%s is not up to date: run make generate", path)
	}
	for _, text := range []string{
		"As a special exception to the GNU Lesser General Public License version 3", "GNU LESSER GENERAL PUBLIC LICENSE", "GNU GENERAL PUBLIC LICENSE",
	} {
		if !strings.Contains(want, text) {
			t.Errorf("the licence of %s is not complete: no %q", lesserGPL, text)
		}
	}
}

// licenses returns what a distributor of a binary must include: our licence and notice, and those of all linked modules.
// Modules with the same text share it.
func licenses(t *testing.T) string {
	t.Helper()
	type holder struct{ title, text string }
	holders := []holder{{"The Go runtime and standard library", readText(t, filepath.Join(goroot(t), "LICENSE"))}}
	linked := linkedModules(t)
	for _, m := range slices.Sorted(maps.Keys(linked)) {
		found := 0
		for _, dir := range linked[m] {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !e.Type().IsRegular() || !isLicense(e.Name()) {
					continue
				}
				found++
				holders = append(holders, holder{m, readText(t, filepath.Join(dir, e.Name()))})
			}
		}
		if found == 0 {
			t.Errorf("%s has no licence in its source", m)
		}
		if m == lesserGPL {
			holders = append(holders, holder{"The GNU General Public License, which the licence of " + m + " refers to", readText(t, filepath.Join(licensesDir, "GPL-3.0"))})
		}
	}
	titles := map[string][]string{} // by the words of the text: some indent it differently
	var texts []holder
	for _, h := range holders {
		words := strings.Join(strings.Fields(h.text), " ")
		if titles[words] == nil {
			texts = append(texts, holder{words, h.text})
		}
		if !slices.Contains(titles[words], h.title) {
			titles[words] = append(titles[words], h.title)
		}
	}
	var b strings.Builder
	rule := strings.Repeat("=", 80)
	for _, own := range []string{"LICENSE", "NOTICE"} {
		fmt.Fprintf(&b, "%s\neasymicro: %s\n%s\n\n%s\n", rule, own, rule, readText(t, filepath.Join(root, own)))
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "%s\n%s\n%s\n\n%s\n", rule, strings.Join(titles[text.title], "\n"), rule, text.text)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func isLicense(name string) bool {
	name, _, _ = strings.Cut(strings.ToUpper(name), ".")
	return slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, name)
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// readText returns a file without blank lines at its start and end.
func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	return strings.TrimLeft(strings.TrimRight(text, " \t\r\n\f"), "\n") + "\n"
}

// The binary prints the licences of the modules that go version -m lists for it.
func TestTheBinaryPrintsTheLicensesOfItsModules(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: nothing here races")
	}
	program := filepath.Join(t.TempDir(), "easymicro.exe")
	for _, args := range [][]string{{"build", "-o", program, "."}, {"version", "-m", program}} {
		out, err := exec.CommandContext(t.Context(), "go", args...).Output()
		if err != nil {
			t.Fatal(args, err)
		}
		if args[0] == "build" {
			continue
		}
		printed, err := exec.CommandContext(t.Context(), program, "version", "--licenses").Output()
		if err != nil {
			t.Fatal(err)
		}
		lines, deps := strings.Split(string(printed), "\n"), 0
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] != "dep" {
				continue
			}
			deps++
			if !slices.Contains(lines, fields[1]) {
				t.Errorf("no licence of %s is printed", fields[1])
			}
		}
		const minDeps = 50
		if deps < minDeps {
			t.Errorf("%d modules in the binary", deps)
		}
	}
}

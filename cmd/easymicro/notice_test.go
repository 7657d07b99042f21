package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const lesserGPL = "github.com/juju/ratelimit"

func TestNoticeNamesEveryModuleInTheBinary(t *testing.T) {
	linked := map[string]bool{}
	for _, lists := range list(t) {
		for _, l := range lists {
			if l.Module != nil && l.Module.Path != module {
				linked[l.Module.Path] = true
			}
		}
	}
	notice, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(notice))
	for _, m := range slices.Sorted(maps.Keys(linked)) {
		if !slices.Contains(words, m) {
			t.Errorf("NOTICE does not name %s: read its licence and add it", m)
		}
	}
}

func TestTheLesserGPLShipsWithItsException(t *testing.T) {
	for file, want := range map[string]string{
		"LICENSE": "As a special exception to the GNU Lesser General Public License version 3",
		"GPL-3.0": "GNU GENERAL PUBLIC LICENSE",
	} {
		text, err := os.ReadFile(filepath.Join(root, "THIRD_PARTY", "juju-ratelimit", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s of %s does not say %q", file, lesserGPL, want)
		}
	}
}

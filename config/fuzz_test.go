package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

// FuzzDecode: no file panics, takes long, or gets a problem without a place; and what is decoded can be compared.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	if len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		for _, name := range []string{"manifest-x.yaml", "rules.yaml", "tokens-x.yaml", "policytest-x.yaml"} {
			set, problems := decodeSet(name, data)
			for _, p := range problems {
				if p.File == name && (p.Line < 1 || p.Column < 1) {
					t.Errorf("no place: %+v", p)
				}
				if lines := strings.Count(p.String(), "\n"); lines > 0 {
					t.Errorf("a problem of %d lines: %q", lines, p)
				}
			}
			if changes := config.Diff(set, set); len(changes) > 0 && problems.Err() == nil {
				t.Errorf("a set differs from itself: %s", changes)
			}
		}
		if _, problems := config.DecodeEndpoints("n.yaml", data, nil); len(problems) > 0 && problems[0].Line < 1 {
			t.Errorf("no place: %+v", problems[0])
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %s for %d bytes", took, len(data))
		}
	})
}

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)

// Each attack in SECURITY.md has a test, and the tests that it names exist.
func TestSecurityNamesExistingTests(t *testing.T) {
	exists := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			exists[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "|---|---|\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	const minRows = 20
	if len(rows) < minRows {
		t.Errorf("%d attacks, want at least %d", len(rows), minRows)
	}
	for _, row := range rows {
		names := testName.FindAllStringSubmatch(row, -1)
		if len(names) == 0 {
			t.Errorf("no test in %s", row)
		}
		for _, m := range names {
			if !exists[m[1]] {
				t.Errorf("there is no %s, which is in %s", m[1], row)
			}
		}
	}
}

func TestTheReadmeLeadsToSecurity(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "](SECURITY.md)") {
		t.Error("README.md has no link to SECURITY.md")
	}
}

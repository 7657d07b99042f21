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

// Each attack in SECURITY.md and each promise in RELIABILITY.md has a test, and the tests that they name exist.
func TestPagesNameExistingTests(t *testing.T) {
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
	for page, least := range map[string]int{"SECURITY.md": 20, "RELIABILITY.md": 24} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(text), "|---|---|")
		rows := strings.Split(strings.TrimSpace(table), "\n")
		for len(rows) > 0 && !strings.HasPrefix(rows[0], "| ") {
			rows = rows[1:] // the rest of the line below the head
		}
		if len(rows) < least {
			t.Errorf("%s has %d rows, want at least %d", page, len(rows), least)
		}
		for _, row := range rows {
			names := testName.FindAllStringSubmatch(row, -1)
			if len(names) == 0 {
				t.Errorf("%s: no test in %s", page, row)
			}
			for _, m := range names {
				if !exists[m[1]] {
					t.Errorf("%s: there is no %s, which is in %s", page, m[1], row)
				}
			}
		}
	}
}

func TestTheReadmeLeadsToThePages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"SECURITY.md", "RELIABILITY.md"} {
		if !strings.Contains(string(text), "]("+page+")") {
			t.Error("README.md has no link to " + page)
		}
	}
}

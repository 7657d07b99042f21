package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ways to truncate text by hand, which may split a character or hide the truncation.
var cutsByHand = []*regexp.Regexp{
	regexp.MustCompile(`\[:[^\]]*\]\)?\)? ?\+ "…"`), // s[:n] + "…"
	regexp.MustCompile(`%\.\d+[sqx]`),               // Sprintf("%.64q", s)
	regexp.MustCompile(`strings\.ToValidUTF8`),
}

func TestTextsAreTruncatedByOneFunction(t *testing.T) {
	const theOne = "wire/code/error.go"
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, file)
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != root:
			return fs.SkipDir
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || filepath.ToSlash(name) == theOne:
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, cut := range cutsByHand {
				if cut.MatchString(line) {
					t.Errorf("%s:%d: use code.Clip: %s", name, i+1, strings.TrimSpace(line))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

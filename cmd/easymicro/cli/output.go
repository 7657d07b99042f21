package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"
)

// The forms of output.
const (
	outputText   = "text"
	outputJSON   = "json"
	outputGithub = "github" // of validate alone: annotations of a pull request
)

func (a *app) checkOutput(allowed ...string) error {
	if slices.Contains(allowed, a.output) {
		return nil
	}
	return usageError("--output %q is not one of %v", a.output, allowed)
}

// json prints v for programs.
func (a *app) json(v any) error {
	e := json.NewEncoder(a.io.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// print shows v as JSON with -o json, and as text otherwise.
func (a *app) print(v any, text func()) error {
	if a.output == outputJSON {
		return a.json(v)
	}
	text()
	return nil
}

func (a *app) line(format string, args ...any) { fmt.Fprintf(a.io.Out, format+"\n", args...) }

// table lines up rows of cells.
func (a *app) table(rows [][]string) {
	w := tabwriter.NewWriter(a.io.Out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// ago is a time as a person tells it: "12s ago".
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return t.Format(time.RFC3339)
}

// orDash stands in for what is empty in a table.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

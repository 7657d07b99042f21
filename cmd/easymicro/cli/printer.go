package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

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

// line prints text for people.
func (a *app) line(format string, args ...any) {
	fmt.Fprintln(a.io.Out, clean(fmt.Sprintf(format, args...)))
}

// note prints text for people beside the data.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.io.Err, clean(fmt.Sprintf(format, args...)))
}

// table prints rows of cells that stand one below the other.
func (a *app) table(rows [][]string) {
	for _, line := range aligned(rows) {
		a.line("%s", line)
	}
}

// aligned are rows of cells as lines in which the cells stand one below the other.
func aligned(rows [][]string) []string {
	const gap = 3
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // the last cell of a row pushes nothing aside
				widths[i] = max(widths[i], width(oneLine(cell)))
			}
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			cell = oneLine(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-width(cell))+gap))
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// titled is a table whose first row is its heading, left out when there is nothing under it.
func (a *app) titled(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	for i, title := range rows[0] {
		rows[0][i] = a.paint(dim, title)
	}
	a.table(rows)
}

// oneLine is a cell as it is shown.
func oneLine(cell string) string { return strings.ReplaceAll(clean(cell), "\n", `\n`) }

// paint is how a text is set off on a terminal: the parameters of an SGR sequence.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
)

// paint sets text off when stdout is a terminal that may show colours.
func (a *app) paint(p paint, text string) string {
	if p == plain || text == "" || !a.colored(a.io.Out) {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

func (a *app) colored(w any) bool {
	return !a.noColor && terminal(w) && os.Getenv("TERM") != "dumb"
}

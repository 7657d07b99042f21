package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// Output formats.
const (
	formatText   = "text"
	formatJSON   = "json"
	formatGitHub = "github" // annotations of a pull request; validate only
	formatSARIF  = "sarif"  // a log for code scanning; validate only
	formatJUnit  = "junit"  // a report for CI; test only
)

// printer writes text for people and JSON for programs.
type printer struct {
	out, err io.Writer
	format   string
	noColor  bool
}

// print writes v as JSON if that is the format, and calls text otherwise.
func (p *printer) print(v any, text func()) error {
	if p.format == formatJSON {
		return writeJSON(p.out, v, "  ")
	}
	text()
	return nil
}

// writeJSON writes v for programs.
func writeJSON(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}

// line writes a line of text to stdout.
func (p *printer) line(format string, args ...any) {
	fmt.Fprintln(p.out, clean(fmt.Sprintf(format, args...)))
}

// note writes a line of text to stderr.
func (p *printer) note(format string, args ...any) {
	fmt.Fprintln(p.err, clean(fmt.Sprintf(format, args...)))
}

// table writes rows with their cells aligned.
func (p *printer) table(rows [][]string) {
	for _, line := range aligned(rows) {
		p.line("%s", line)
	}
}

// titled writes a table whose first row is its header, or nothing if there are no other rows.
func (p *printer) titled(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	for i, title := range rows[0] {
		rows[0][i] = p.paint(dim, title)
	}
	p.table(rows)
}

// section writes a table after a blank line, or nothing if it has only its header.
func (p *printer) section(rows [][]string) {
	if len(rows) > 1 {
		p.line("")
		p.titled(rows)
	}
}

// clear starts a new frame: in place on a terminal, after a blank line elsewhere.
func (p *printer) clear() {
	switch {
	case terminal(p.out):
		fmt.Fprint(p.out, "\x1b[H\x1b[2J")
	case p.format == formatText:
		p.line("")
	}
}

// A paint is the parameter of an SGR sequence.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
)

// paint colours text if stdout is a terminal and colours are enabled.
func (p *printer) paint(with paint, text string) string {
	if with == plain || text == "" || !p.colored(p.out) {
		return text
	}
	return "\x1b[" + string(with) + "m" + text + "\x1b[0m"
}

func (p *printer) colored(w any) bool {
	return !p.noColor && terminal(w) && os.Getenv("TERM") != "dumb"
}

// columns returns the width for help: that of the terminal, and at most 120.
func (p *printer) columns() int {
	const most = 120
	if f, ok := p.out.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return min(n, most)
		}
	}
	return most
}

// terminal reports whether a stream is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// aligned returns rows of cells as lines with aligned columns.
func aligned(rows [][]string) []string {
	const gap = 3
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // nothing follows the last cell of a row
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

// oneLine escapes a cell for a table.
func oneLine(cell string) string { return strings.ReplaceAll(clean(cell), "\n", `\n`) }

// withoutEmpty removes the named columns that are empty in every row.
func withoutEmpty(rows [][]string, titles ...string) [][]string {
	for _, title := range titles {
		at := slices.Index(rows[0], title)
		if slices.ContainsFunc(rows[1:], func(row []string) bool { return row[at] != orDash("") }) {
			continue
		}
		for i := range rows {
			rows[i] = slices.Delete(rows[i], at, at+1)
		}
	}
	return rows
}

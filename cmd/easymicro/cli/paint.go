package cli

import "os"

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

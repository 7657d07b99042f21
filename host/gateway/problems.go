package gateway

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the options, at the path of its field in a manifest.
type Problem struct {
	Path    string // "gateway.routes[0].path"
	Message string
}

func (p Problem) String() string { return p.Path + ": " + p.Message }

// Problems is all that is wrong with the options.
type Problems []Problem //nolint:errname // the same word as in config, whose problems these become

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(path, format string, args ...any) {
	*p = append(*p, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

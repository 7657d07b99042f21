package cli

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// optionsText shows the defaults of a handler's options as a manifest would write them.
func (a *app) optionsText(defaults any) {
	out, err := yaml.Marshal(defaults)
	if err != nil {
		a.line("  options: %v", err)
		return
	}
	a.line("  options, with their defaults:")
	for line := range strings.Lines(string(out)) {
		a.line("    %s", strings.TrimRight(line, "\n"))
	}
}

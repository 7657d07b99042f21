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

// optionsView is the same for programs: the keys, and values with their units, that a manifest would have.
func optionsView(defaults any) any {
	if defaults == nil {
		return nil
	}
	out, err := yaml.Marshal(defaults)
	if err != nil {
		return nil
	}
	var view map[string]any
	if yaml.Unmarshal(out, &view) != nil {
		return nil
	}
	return view
}

package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/registry"
)

// handlerView is a handler as -o json shows it.
type handlerView struct {
	Name    string          `json:"name"`
	Package string          `json:"package"`
	Uses    []string        `json:"uses,omitempty"`
	Options any             `json:"options,omitempty"` // the defaults, as a manifest would have them
	Methods []methodView    `json:"methods"`
	Skipped []admin.Skipped `json:"skipped,omitempty"`

	defaults any
}

type methodView struct {
	Name    string      `json:"name"`
	Args    admin.Shape `json:"args"`
	Reply   admin.Shape `json:"reply"`
	Example any         `json:"example"`
}

func (a *app) handlers() *cobra.Command {
	return &cobra.Command{
		Use:   "handlers [NAME]",
		Short: "The handlers that are compiled in",
		Long: `handlers lists what a manifest may name in services[].handler: each handler with its methods, their argument and reply
types, its options with the defaults, and the exported methods that are not served, with the reason.`,
		Example: `  easymicro handlers
  easymicro handlers samples.arith`,
		Args:              argRange(0, 1, "at most one name"),
		ValidArgsFunction: a.completeHandlers,
		RunE: func(_ *cobra.Command, args []string) error {
			views := []handlerView{}
			var names []string
			for _, e := range a.registry.Entries() {
				names = append(names, e.Name)
				if len(args) == 0 || e.Name == args[0] {
					views = append(views, viewHandler(e))
				}
			}
			if len(args) == 1 && len(views) == 0 {
				return failed("no handler %s is compiled in%s", args[0], didYouMean(args[0], names))
			}
			return a.print(views, func() {
				if len(views) == 0 {
					a.line("no handlers are compiled in: import the packages that register them")
				}
				for i, v := range views {
					if i > 0 {
						a.line("")
					}
					a.handlerText(v)
				}
			})
		},
	}
}

func viewHandler(e *registry.Entry) handlerView {
	v := handlerView{Name: e.Name, Package: e.Package, Uses: e.Uses, Options: optionsView(e.Defaults), Methods: []methodView{}, defaults: e.Defaults}
	for _, m := range e.Methods {
		v.Methods = append(v.Methods, methodView{Name: m.Name, Args: admin.ShapeOf(m.Args), Reply: admin.ShapeOf(m.Reply), Example: e.Example(m)})
	}
	for _, s := range e.Skipped {
		v.Skipped = append(v.Skipped, admin.Skipped{Name: s.Name, Why: s.Why})
	}
	return v
}

func (a *app) handlerText(v handlerView) {
	a.line("%s   %s", a.paint(bold, v.Name), v.Package)
	if len(v.Methods) == 0 {
		a.line("  methods are known once it is open (registry.Methods would tell them before)")
	}
	rows := [][]string{}
	for _, m := range v.Methods {
		rows = append(rows, []string{"  " + m.Name, shapeText(&m.Args, 0), "→ " + shapeText(&m.Reply, 0)})
	}
	a.table(rows)
	if v.defaults != nil {
		a.optionsText(v.defaults)
	}
	if len(v.Uses) > 0 {
		a.line("  uses %s", strings.Join(v.Uses, ", "))
	}
	for _, s := range v.Skipped {
		a.line("  not served: %s: %s", s.Name, s.Why)
	}
}

// shapeText is a shape in one line: {a integer, b integer}.
func shapeText(s *admin.Shape, depth int) string {
	const deep = 3
	switch {
	case s.Type == "object" && depth < deep:
		fields := make([]string, len(s.Fields))
		for i := range s.Fields {
			fields[i] = s.Fields[i].Name + " " + shapeText(&s.Fields[i].Shape, depth+1)
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case s.Items != nil && depth < deep:
		return s.Type + " of " + shapeText(s.Items, depth+1)
	}
	return s.Type
}

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

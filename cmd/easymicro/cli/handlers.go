package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/registry"
)

// handlerView is a handler in the JSON output.
type handlerView struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind"` // handler or interceptor
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

// handlersCommand lists the handlers compiled into the binary.
type handlersCommand struct{ *app }

func newHandlers(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "handlers [NAME]",
		Short: "List the handlers and interceptors compiled into this binary",
		Long: `handlers lists the names for services[].handler of a manifest: each handler with its methods, their argument and reply
types, its options with their defaults, and the exported methods that are not served, with the reason. Interceptors, for around,
are listed after the handlers.`,
		Example: `  easymicro handlers
  easymicro handlers samples.arith`,
		Args:              argRange(0, 1, "at most one name"),
		ValidArgsFunction: completeHandlers(a),
		RunE:              (&handlersCommand{a}).run,
	}
}

func (c *handlersCommand) run(_ *cobra.Command, args []string) error {
	views := []handlerView{}
	var names []string
	for _, e := range slices.Concat(c.registry.Entries(), c.registry.Interceptors()) {
		names = append(names, e.Name)
		if len(args) == 0 || e.Name == args[0] {
			views = append(views, viewHandler(e))
		}
	}
	if len(args) == 1 && len(views) == 0 {
		return failed("no handler %s in this binary%s", args[0], didYouMean(args[0], names))
	}
	return c.print(views, func() {
		if len(views) == 0 {
			c.line("this binary has no handlers: import the packages that register them")
		}
		for i, v := range views {
			if i > 0 {
				c.line("")
			}
			c.text(v)
		}
	})
}

func viewHandler(e *registry.Entry) handlerView {
	v := handlerView{
		Name: e.Name, Kind: e.Kind(), Package: e.Package, Uses: e.Uses,
		Options: optionsView(e.Defaults), Methods: []methodView{}, defaults: e.Defaults,
	}
	for _, m := range e.Methods {
		v.Methods = append(v.Methods, methodView{Name: m.Name, Args: admin.ShapeOf(m.Args), Reply: admin.ShapeOf(m.Reply), Example: e.Example(m)})
	}
	for _, s := range e.Skipped {
		v.Skipped = append(v.Skipped, admin.Skipped{Name: s.Name, Why: s.Why})
	}
	return v
}

func (c *handlersCommand) text(v handlerView) {
	if v.Kind == "interceptor" {
		c.line("%s   interceptor   %s", c.paint(bold, v.Name), v.Package)
	} else {
		c.line("%s   %s", c.paint(bold, v.Name), v.Package)
	}
	if len(v.Methods) == 0 && v.Kind == "handler" {
		c.line("  methods are known only after the handler is opened (registry.Methods declares them before)")
	}
	rows := [][]string{}
	for _, m := range v.Methods {
		rows = append(rows, []string{"  " + m.Name, shapeText(&m.Args, 0), "→ " + shapeText(&m.Reply, 0)})
	}
	c.table(rows)
	if v.defaults != nil {
		c.optionsText(v.defaults)
	}
	if len(v.Uses) > 0 {
		c.line("  uses %s", strings.Join(v.Uses, ", "))
	}
	for _, s := range v.Skipped {
		c.line("  not served: %s: %s", s.Name, s.Why)
	}
}

// optionsText shows the defaults of options as YAML.
func (c *handlersCommand) optionsText(defaults any) {
	out, err := yaml.Marshal(defaults)
	if err != nil {
		c.line("  options: %v", err)
		return
	}
	c.line("  options, with their defaults:")
	for line := range strings.Lines(string(out)) {
		c.line("    %s", strings.TrimRight(line, "\n"))
	}
}

// optionsView converts the defaults of options to what a manifest would contain: its keys, and values with units.
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

func completeHandlers(a *app) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if len(args) == 0 {
			for _, e := range a.registry.Entries() {
				names = append(names, e.Name+"\t"+e.Package)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "What a command does, with its flags and examples",
		Example: `  easymicro help
  easymicro help call`,
		Args: argRange(0, 1, "at most one command"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Root().Help()
			}
			for _, c := range cmd.Root().Commands() {
				if c.Name() == args[0] {
					c.InitDefaultHelpFlag()
					return c.Help()
				}
			}
			return unknownCommand(cmd, args)
		},
	}
}

// showHelp explains one command, or all of them.
func (a *app) showHelp(cmd *cobra.Command) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	a.line("%s", about)
	a.heading("Usage")
	if cmd.HasParent() {
		a.line("  %s", cmd.UseLine())
	} else {
		a.line("  %s COMMAND [flags]", cmd.Name())
	}
	if cmd.HasExample() {
		a.heading("Examples")
		a.line("%s", cmd.Example)
	}
	for _, g := range cmd.Groups() {
		a.heading(g.Title)
		rows := [][]string{}
		for _, c := range a.ordered(cmd) {
			if c.GroupID == g.ID {
				rows = append(rows, []string{"  " + c.Name(), c.Short})
			}
		}
		a.table(rows)
	}
	a.flagsHelp("Flags", cmd.LocalNonPersistentFlags())
	global := cmd.InheritedFlags()
	if !cmd.HasParent() {
		global = cmd.PersistentFlags()
	}
	a.flagsHelp("Flags of every command; each is also a variable, such as EASYMICRO_CONFIG", global)
}

// ordered are the commands in the order in which one needs them.
func (a *app) ordered(root *cobra.Command) []*cobra.Command {
	list := slices.Clone(root.Commands())
	slices.SortFunc(list, func(x, y *cobra.Command) int {
		return cmp.Compare(slices.Index(a.order, x.Name()), slices.Index(a.order, y.Name()))
	})
	return list
}

func (a *app) heading(title string) {
	a.line("")
	a.line("%s", a.paint(bold, title))
}

func (a *app) flagsHelp(title string, flags *pflag.FlagSet) {
	rows := [][]string{}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		short := "    "
		if f.Shorthand != "" {
			short = "-" + f.Shorthand + ", "
		}
		value, usage := pflag.UnquoteUsage(f)
		if f.Value.Type() == "bool" {
			value = ""
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		rows = append(rows, []string{"  " + short + strings.TrimSpace("--"+f.Name+" "+value), usage})
	})
	if len(rows) > 0 {
		a.heading(title)
		a.table(rows)
	}
}

package cli

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
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
	a.wrapped(about, "")
	a.heading("Usage")
	if cmd.HasParent() {
		a.wrapped("  "+cmd.UseLine(), "      ")
	} else {
		a.line("  %s COMMAND [flags]", cmd.Name())
	}
	if cmd.HasExample() {
		a.heading("Examples")
		a.commands(cmd.Example)
	}
	for _, g := range cmd.Groups() {
		a.heading(g.Title)
		rows := [][]string{}
		for _, c := range a.ordered(cmd) {
			if c.GroupID == g.ID {
				rows = append(rows, []string{"  " + c.Name(), c.Short})
			}
		}
		a.terms(rows)
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
	for _, line := range wrap(strings.Split(title, " "), a.columns(), "", "") {
		a.line("%s", a.paint(bold, line))
	}
}

// columns is how wide help may be: the width of the terminal, or 0 where what is written fits already.
func (a *app) columns() int {
	const natural = 130 // that the texts are written for
	f, ok := a.io.Out.(*os.File)
	if !ok {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 && n < natural {
		return n
	}
	return 0
}

// wrapped prints paragraphs within the width of the terminal; hang is in front of all lines of one but its first.
func (a *app) wrapped(text, hang string) {
	columns := a.columns()
	if columns == 0 {
		a.line("%s", text)
		return
	}
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			a.line("")
		}
		for _, line := range wrap(strings.Split(strings.ReplaceAll(paragraph, "\n", " "), " "), columns, hang, "") {
			a.line("%s", line)
		}
	}
}

var shellWord = regexp.MustCompile(`('[^']*'|[^' ])*( |$)`)

// commands prints commands within the width of the terminal, as a shell takes them.
func (a *app) commands(text string) {
	for line := range strings.Lines(text) {
		words := shellWord.FindAllString(strings.TrimRight(line, "\n"), -1)
		for i := range words {
			words[i] = strings.TrimSuffix(words[i], " ")
		}
		for _, line := range wrap(words, a.columns(), "      ", ` \`) {
			a.line("%s", line)
		}
	}
}

// terms prints terms and what they mean beside each other, or below each other where there is no room for that.
func (a *app) terms(rows [][]string) {
	const gap, least, below = 3, 24, "          "
	columns, left := a.columns(), 0
	for _, row := range rows {
		left = max(left, width(row[0])+gap)
	}
	if columns == 0 {
		a.table(rows)
		return
	}
	for _, row := range rows {
		if columns-left < least {
			a.line("%s", row[0])
			a.wrapped(below+row[1], below)
			continue
		}
		a.wrapped(row[0]+strings.Repeat(" ", left-width(row[0]))+row[1], strings.Repeat(" ", left))
	}
}

// wrap puts words, with a blank between each two, into lines that take no more columns, but for words that are longer. A
// line that goes on has more at its end, and the one after it begins with hang. Without columns it is one line.
func wrap(words []string, columns int, hang, more string) []string {
	if columns == 0 {
		return []string{strings.Join(words, " ")}
	}
	var lines []string
	line, end := "", 0 // end is where the last word in line ends
	for i, word := range words {
		if i > 0 {
			line += " "
		}
		if word != "" && end > 0 && width(line+word+more) > columns {
			lines, line = append(lines, line[:end]+more), hang
		}
		if line += word; word != "" {
			end = len(line)
		}
	}
	return append(lines, line[:end])
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
		a.terms(rows)
	}
}

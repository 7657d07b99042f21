package cli

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND [SUBCOMMAND]]",
		Short: "Show what a command does, with its flags and examples",
		Example: `  easymicro help
  easymicro help call`,
		Args: argRange(0, 2, "at most a command and a subcommand"),
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
			if c, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				c.InitDefaultHelpFlag()
				return c.Help()
			}
			return unknownCommand(cmd, args)
		},
	}
}

// helpPage writes the help of a command within the width of the terminal.
type helpPage struct {
	*printer
	order []string // of the commands
}

func (h *helpPage) show(cmd *cobra.Command) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	h.wrapped(about, "")
	h.heading("Usage")
	if cmd.HasParent() {
		h.wrapped("  "+cmd.UseLine(), "      ")
	} else {
		h.line("  %s COMMAND [flags]", cmd.Name())
	}
	if cmd.HasExample() {
		h.heading("Examples")
		h.commands(cmd.Example)
	}
	for _, g := range cmd.Groups() {
		h.heading(g.Title)
		rows := [][]string{}
		for _, c := range h.ordered(cmd) {
			if c.GroupID == g.ID {
				rows = append(rows, []string{"  " + c.Name(), c.Short})
			}
		}
		h.terms(rows)
	}
	h.flags("Flags", cmd.LocalNonPersistentFlags())
	global := cmd.InheritedFlags()
	if !cmd.HasParent() {
		global = cmd.PersistentFlags()
	}
	h.flags("Global flags; each is also an environment variable, such as EASYMICRO_CONFIG", global)
}

// ordered returns the commands in the order of the help: those of a command by name.
func (h *helpPage) ordered(root *cobra.Command) []*cobra.Command {
	list := slices.Clone(root.Commands())
	if root.HasParent() {
		return list
	}
	slices.SortFunc(list, func(x, y *cobra.Command) int {
		return cmp.Compare(slices.Index(h.order, x.Name()), slices.Index(h.order, y.Name()))
	})
	return list
}

func (h *helpPage) heading(title string) {
	h.line("")
	for _, line := range wrap(strings.Split(title, " "), h.columns(), "", "") {
		h.line("%s", h.paint(bold, line))
	}
}

// wrapped writes paragraphs; hang indents every line of a paragraph but its first. Without it, indented paragraphs keep
// their lines.
func (h *helpPage) wrapped(text, hang string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			h.line("")
		}
		if hang == "" && strings.HasPrefix(paragraph, "  ") { // an example
			for line := range strings.SplitSeq(paragraph, "\n") {
				h.line("%s", strings.Join(wrap(strings.Split(line, " "), h.columns(), "      ", ""), "\n"))
			}
			continue
		}
		for _, line := range wrap(strings.Split(strings.ReplaceAll(paragraph, "\n", " "), " "), h.columns(), hang, "") {
			h.line("%s", line)
		}
	}
}

var shellWord = regexp.MustCompile(`('[^']*'|[^' ])*( |$)`)

// commands writes command lines so that a shell accepts them.
func (h *helpPage) commands(text string) {
	for line := range strings.Lines(text) {
		words := shellWord.FindAllString(strings.TrimRight(line, "\n"), -1)
		for i := range words {
			words[i] = strings.TrimSuffix(words[i], " ")
		}
		for _, line := range wrap(words, h.columns(), "      ", ` \`) {
			h.line("%s", line)
		}
	}
}

// terms writes terms with their meaning beside them, or below them on a narrow terminal.
func (h *helpPage) terms(rows [][]string) {
	const gap, minText, below = 3, 24, "          "
	columns, left := h.columns(), 0
	for _, row := range rows {
		left = max(left, width(row[0])+gap)
	}
	for _, row := range rows {
		if columns-left < minText {
			h.line("%s", row[0])
			h.wrapped(below+row[1], below)
			continue
		}
		h.wrapped(row[0]+strings.Repeat(" ", left-width(row[0]))+row[1], strings.Repeat(" ", left))
	}
}

func (h *helpPage) flags(title string, flags *pflag.FlagSet) {
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
		if !slices.Contains([]string{"", "false", "0s", "[]"}, f.DefValue) {
			usage += " (default " + strings.Trim(f.DefValue, "[]") + ")"
		}
		rows = append(rows, []string{"  " + short + strings.TrimSpace("--"+f.Name+" "+value), usage})
	})
	if len(rows) > 0 {
		h.heading(title)
		h.terms(rows)
	}
}

// wrap joins words into lines of at most columns, unless a word is longer. A line that continues ends in more, and the next
// one starts with hang.
func wrap(words []string, columns int, hang, more string) []string {
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

package cli

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// alone replaces the functions of the generated script that need the package bash-completion.
//
//go:embed completion.bash
var alone string

// completionTime is how long a shell may wait for names.
const completionTime = 200 * time.Millisecond

type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

func (a *app) completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Let your shell complete commands, flags, methods, handlers and rules",
		Long: `completion prints a script for your shell. With it, the shell asks easymicro for commands and flags, and the running host
for its methods and rules. The bash script does not need the package bash-completion.`,
		Example: `  source <(easymicro completion bash)
  easymicro completion zsh > "${fpath[1]}/_easymicro"
  easymicro completion fish > ~/.config/fish/completions/easymicro.fish
  easymicro completion powershell | Out-String | Invoke-Expression`,
		Args:      oneArg("a shell: bash, zsh, fish or powershell"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(a.io.Out, true); err != nil {
					return err
				}
				_, err := io.WriteString(a.io.Out, alone)
				return err
			case "zsh":
				return root.GenZshCompletion(a.io.Out)
			case "fish":
				return root.GenFishCompletion(a.io.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.io.Out)
			}
			return usageError("%q is no shell that is known: bash, zsh, fish or powershell%s", args[0], didYouMean(args[0], shells))
		},
	}
}

// fixed completes one of a few words.
func fixed(words ...string) completer {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// namer asks a host for what an argument may name. What separates service and method is what the word has already.
type namer = func(ctx context.Context, c *admin.Client, separator string) []string

// separator is what stands between service and method in the word to complete: a dot unless a slash is typed.
func separator(word string) string {
	if strings.Contains(word, "/") {
		return "/"
	}
	return "."
}

// first completes the first argument by what the running host says. A host that cannot be asked offers nothing.
func (a *app) first(names namer) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.named = a.named || cmd.Flags().Changed("config")
		c, err := a.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		return names(ctx, c, separator(word)), cobra.ShellCompDirectiveNoFileComp
	}
}

func methodWords(ctx context.Context, c *admin.Client, separator string) []string {
	services, err := c.Services(ctx)
	if err != nil {
		return nil
	}
	var words []string
	for _, s := range services {
		for _, name := range namesOf(&s) {
			for _, m := range s.Methods {
				words = append(words, fmt.Sprintf("%s%s%s\t%s → %s", name, separator, m.Name, shapeText(&m.Args, 0), shapeText(&m.Reply, 0)))
			}
		}
	}
	return words
}

func serviceWords(ctx context.Context, c *admin.Client, separator string) []string {
	services, err := c.Services(ctx)
	if err != nil {
		return nil
	}
	words := methodWords(ctx, c, separator)
	for _, s := range services {
		for _, name := range namesOf(&s) {
			words = append(words, name+"\thandler "+s.Handler)
		}
	}
	return words
}

// ruleWords are methods, and the rules of the running revision.
func ruleWords(ctx context.Context, c *admin.Client, separator string) []string {
	words := methodWords(ctx, c, separator)
	status, err := c.Status(ctx)
	if err != nil {
		return words
	}
	rules, err := c.Rules(ctx)
	if err != nil {
		return words
	}
	for i := range rules {
		words = append(words, fmt.Sprintf("%s@r%d\t%s", rules[i].Name, status.Policies.Running.Revision, rules[i].Position))
	}
	return words
}

func (a *app) completeHandlers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		for _, e := range a.registry.Entries() {
			names = append(names, e.Name+"\t"+e.Package)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeManifests(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

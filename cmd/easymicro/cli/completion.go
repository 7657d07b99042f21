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

// standalone replaces the functions of the generated script that need the package bash-completion.
//
//go:embed completion.bash
var standalone string

// completionTimeout bounds how long a shell waits for names.
const completionTimeout = 200 * time.Millisecond

type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completionCommand prints the completion script of a shell.
type completionCommand struct{ *app }

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of your shell",
		Long: `completion prints a script for your shell. With it, the shell completes commands, flags and handlers, and the methods and
rules of the running host. The bash script does not need the package bash-completion.`,
		Example: `  source <(easymicro completion bash)
  easymicro completion zsh > "${fpath[1]}/_easymicro"
  easymicro completion fish > ~/.config/fish/completions/easymicro.fish
  easymicro completion powershell | Out-String | Invoke-Expression`,
		Args:      argRange(1, 1, "a shell: bash, zsh, fish or powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE:      (&completionCommand{a}).run,
	}
}

func (c *completionCommand) run(cmd *cobra.Command, args []string) error {
	root := cmd.Root()
	switch args[0] {
	case "bash":
		if err := root.GenBashCompletionV2(c.out, true); err != nil {
			return err
		}
		_, err := io.WriteString(c.out, standalone)
		return err
	case "zsh":
		return root.GenZshCompletion(c.out)
	case "fish":
		return root.GenFishCompletion(c.out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(c.out)
	}
	return usageError("%q is not a supported shell: bash, zsh, fish or powershell%s", args[0], didYouMean(args[0], cmd.ValidArgs))
}

// fixed completes one of the words.
func fixed(words ...string) completer {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// namer returns the words for an argument, from a host; separator is put between service and method.
type namer = func(ctx context.Context, c *admin.Client, separator string) []string

// separator returns the separator of service and method in a word: a dot, unless the word has a slash.
func separator(word string) string {
	if strings.Contains(word, "/") {
		return "/"
	}
	return "."
}

// firstArgument completes the first argument with words from the running host, if it answers.
func firstArgument(a *app, names namer) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.named = a.named || cmd.Flags().Changed("config")
		c, err := newHostClient(a)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		return names(ctx, c.Client, separator(word)), cobra.ShellCompDirectiveNoFileComp
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

// ruleWords returns methods, and the rules of the running revision.
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

func completeManifests(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

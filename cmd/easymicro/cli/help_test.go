package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/registry"
)

// commandsOf returns all commands, including the root.
func commandsOf(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRoot(&app{registry: registry.New()})
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].Commands()...)
	}
	const least = 14
	if len(all) < least {
		t.Fatalf("%d commands", len(all))
	}
	return all
}

func TestEveryCommandHasAnExample(t *testing.T) {
	for _, cmd := range commandsOf(t) {
		name := cmd.CommandPath()
		if cmd.Hidden || cmd.Deprecated != "" || cmd.HasParent() && cmd.GroupID == "" {
			t.Errorf("%s is hidden or in no group", name)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q", name, cmd.Short)
		}
		if !strings.Contains(cmd.Example, name) {
			t.Errorf("%s has no example", name)
		}
	}
}

// Flags in examples exist.
func TestExamplesUseFlagsThatExist(t *testing.T) {
	flag := regexp.MustCompile(`(?:^|\s)--([a-z-]+)`)
	for _, cmd := range commandsOf(t) {
		known := pflag.NewFlagSet("", pflag.ContinueOnError)
		known.AddFlagSet(cmd.Flags())
		known.AddFlagSet(cmd.InheritedFlags())
		for line := range strings.Lines(cmd.Example) {
			if !cmd.HasParent() {
				continue // of other commands
			}
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				if known.Lookup(m[1]) == nil {
					t.Errorf("%s: --%s in %s", cmd.Name(), m[1], line)
				}
			}
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, cmd := range commandsOf(t)[1:] {
		path := strings.Fields(cmd.CommandPath())[1:]
		for _, args := range [][]string{append(slices.Clone(path), "--help"), append([]string{"help"}, path...)} {
			var out, errs bytes.Buffer
			if code := Run(t.Context(), args, IO{In: strings.NewReader(""), Out: &out, Err: &errs}); code != ExitOK || errs.Len() > 0 {
				t.Errorf("%v exits with %d: %s", args, code, &errs)
			}
			text := out.String()
			for _, want := range []string{"Usage\n  " + cmd.CommandPath(), "Examples\n  ", "--config FILE"} {
				if !strings.Contains(text, want) {
					t.Errorf("%v: no %q in\n%s", args, want, text)
				}
			}
			for line := range strings.Lines(text) {
				if width(strings.TrimRight(line, "\n")) > 120 {
					t.Errorf("%v: a long line: %s", args, line)
				}
			}
		}
	}
}

func TestHelpKeepsExamplesAndOrdersCommands(t *testing.T) {
	for args, want := range map[string]string{
		"test":     "\n\n  cases:\n    - name: ",
		"validate": "\n\n  # easymicro: ignore EM304 ",
		"breaker":  "Commands\n  close   Keep a breaker closed for a while, whatever fails\n  list ",
	} {
		var out bytes.Buffer
		if Run(t.Context(), []string{args, "--help"}, IO{In: strings.NewReader(""), Out: &out, Err: &out}); !strings.Contains(out.String(), want) {
			t.Errorf("%s: no %q in\n%s", args, want, &out)
		}
	}
}

// The variables of flags are known, so that they cause no warning.
func TestVariablesOfFlagsAreKnown(t *testing.T) {
	known := load.Variables()
	for _, cmd := range commandsOf(t) {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.AddFlagSet(cmd.PersistentFlags())
		if cmd.Name() == "serve" {
			flags.AddFlagSet(cmd.LocalNonPersistentFlags())
		}
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !slices.Contains(known, load.Variable(f.Name)) {
				t.Errorf("%s: --%s: load.Variables does not have %s", cmd.Name(), f.Name, load.Variable(f.Name))
			}
		})
	}
}

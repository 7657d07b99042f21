package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no arguments, got %q\nsee: %s --help", cmd.Name(), args[0], cmd.CommandPath())
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs { return argRange(1, 1, what) }

func argRange(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError("%s takes %s, got %s\nsee: %s --help", cmd.Name(), what, count(len(args), "argument"), cmd.CommandPath())
		}
		return nil
	}
}

// methodArg splits SERVICE.METHOD or SERVICE/METHOD.
func methodArg(arg string) (service, method string, err error) {
	service, method, ok := admin.SplitMethod(arg)
	if !ok {
		return "", "", usageError("%q is no method: write SERVICE.METHOD, such as Arith.Mul", arg)
	}
	return service, method, nil
}

// unknownCommand is what the root does with arguments: they name no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("unknown command %q%s\nsee: %s --help", args[0], didYouMean(args[0], commandNames(cmd.Root())), cmd.Root().Name())
}

func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return append(names, "help")
}

func didYouMean(word string, known []string) string {
	if s := config.Suggest(word, known); s != "" {
		return " (did you mean " + s + "?)"
	}
	return ""
}

// flagError explains flags that are wrong, and suggests one for a flag that does not exist.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if !cmd.HasParent() {
		if args := a.words(cmd); len(args) > 0 { // the flags of a command that does not exist
			return unknownCommand(cmd, args)
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Name == "etcd" && strings.Contains(invalid.GetValue(), "@") {
		return errUserInURL // which must not be repeated
	}
	hint := ""
	var missing *pflag.NotExistError
	if errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "" {
		name := missing.GetSpecifiedName()
		hint = flagHint(cmd, name)
	}
	return usageError("%w%s\nsee: %s --help", err, hint, cmd.CommandPath())
}

// flagHint is a flag of the command that was probably meant, or else the commands that have the flag.
func flagHint(cmd *cobra.Command, name string) string {
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if s := config.Suggest(name, known); s != "" {
		return " (did you mean --" + s + "?)"
	}
	var with []string
	for _, c := range cmd.Root().Commands() {
		if c.LocalNonPersistentFlags().Lookup(name) != nil {
			with = append(with, c.Name())
		}
	}
	if len(with) > 0 {
		return " (it is a flag of " + strings.Join(with, " and ") + ")"
	}
	return ""
}

// words are the arguments that are no flags of the root and no values of them.
func (a *app) words(root *cobra.Command) []string {
	flags := pflag.NewFlagSet(root.Name(), pflag.ContinueOnError)
	flags.AddFlagSet(root.PersistentFlags())
	flags.ParseErrorsAllowlist.UnknownFlags = true
	_ = flags.Parse(a.args)
	return flags.Args()
}

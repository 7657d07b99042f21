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

// argRange requires between minArgs and maxArgs arguments; need describes them.
func argRange(minArgs, maxArgs int, need string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < minArgs || len(args) > maxArgs {
			return usageError("%s needs %s\nsee: %s --help", cmd.Name(), need, cmd.CommandPath())
		}
		return nil
	}
}

// methodArg splits SERVICE.METHOD or SERVICE/METHOD.
func methodArg(arg string) (service, method string, err error) {
	service, method, ok := admin.SplitMethod(arg)
	if !ok {
		return "", "", usageError("%q is not a method name: write SERVICE.METHOD, e.g. Arith.Mul", arg)
	}
	return service, method, nil
}

// unknownCommand rejects arguments of the root command: they do not name a command.
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

// didYouMean suggests the most similar known word, if any.
func didYouMean(word string, known []string) string {
	if s := config.Suggest(word, known); s != "" {
		return " (did you mean " + s + "?)"
	}
	return ""
}

// flagError explains a flag that is wrong, and suggests another for one that does not exist.
func flagError(cmd *cobra.Command, args []string, err error) error {
	if !cmd.HasParent() {
		if words := positional(cmd, args); len(words) > 0 { // flags of a command that does not exist
			return unknownCommand(cmd, words)
		}
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok && invalid.GetFlag().Name == "etcd" && strings.Contains(invalid.GetValue(), "@") {
		return errUserInURL // must not repeat the value
	}
	hint := ""
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok && missing.GetSpecifiedShortnames() == "" {
		hint = flagHint(cmd, missing.GetSpecifiedName())
	}
	return usageError("%w%s\nsee: %s --help", err, hint, cmd.CommandPath())
}

// flagHint suggests a similar flag of the command, or names the commands that have the flag.
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
		return " (a flag of " + strings.Join(with, " and ") + ")"
	}
	return ""
}

// positional returns the arguments that are neither root flags nor their values.
func positional(root *cobra.Command, args []string) []string {
	flags := pflag.NewFlagSet(root.Name(), pflag.ContinueOnError)
	flags.AddFlagSet(root.PersistentFlags())
	flags.ParseErrorsAllowlist.UnknownFlags = true
	_ = flags.Parse(args)
	return flags.Args()
}

var errUserInURL = usageError("--etcd: do not put credentials in the URL: use --etcd-user-file and --etcd-password-file")

package cli

import (
	"strings"

	"github.com/spf13/cobra"
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

// methodArg takes SERVICE.METHOD apart. Service names may have dots, method names have none.
func methodArg(arg string) (service, method string, err error) {
	i := strings.LastIndexByte(arg, '.')
	if i <= 0 || i == len(arg)-1 {
		return "", "", usageError("%q is no method: write SERVICE.METHOD, such as Arith.Mul", arg)
	}
	return arg[:i], arg[i+1:], nil
}

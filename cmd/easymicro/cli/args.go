package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no arguments, got %q\nsee: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs { return argRange(1, 1, what) }

func argRange(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError("%s takes %s, got %d arguments\nsee: %s --help", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// methodArg takes SERVICE.METHOD apart.
func methodArg(arg string) (service, method string, err error) {
	i := strings.LastIndexByte(arg, '.')
	if i <= 0 || i == len(arg)-1 {
		return "", "", usageError("%q is no method: write SERVICE.METHOD, such as Arith.Mul", arg)
	}
	return arg[:i], arg[i+1:], nil
}

func problemText(p admin.Problem) string { return config.Problem(p).String() }

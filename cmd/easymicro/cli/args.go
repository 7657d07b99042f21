package cli

import (
	"github.com/spf13/cobra"

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

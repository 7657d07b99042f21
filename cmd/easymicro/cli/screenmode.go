package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/load"
)

// Where the screen is shown.
const (
	screenAuto = "auto" // on a terminal, and where programs read it
	screenOn   = "on"
	screenOff  = "off"
)

func (a *app) screenFlag(cmd *cobra.Command) {
	cmd.Flags().String("screen", screenAuto, "auto (on a terminal), on or off: `WHEN` the screen is shown ("+load.Variable("screen")+")")
	_ = cmd.RegisterFlagCompletionFunc("screen", fixed(screenAuto, screenOn, screenOff))
}

// screenShown reports whether stdout gets the screen: by the flag, else the variable, else where stdout leads. -o json
// is of a program, which reads it from wherever that is; its variable may be there for other commands.
func (a *app) screenShown(cmd *cobra.Command) (bool, error) {
	f := cmd.Flags().Lookup("screen")
	mode, from := f.Value.String(), "--screen"
	if value := os.Getenv(load.Variable("screen")); value != "" && !f.Changed {
		mode, from = value, load.Variable("screen")
	}
	switch mode {
	case screenOn:
		return true, nil
	case screenOff:
		return false, nil
	case screenAuto:
		return terminal(a.io.Out) || a.output == outputJSON && cmd.Flags().Changed("output"), nil
	}
	modes := []string{screenAuto, screenOn, screenOff}
	return false, usageError("%s: %q is not one of %s%s", from, mode, strings.Join(modes, ", "), didYouMean(mode, modes))
}

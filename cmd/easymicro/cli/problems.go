package cli

import (
	"errors"
	"fmt"

	"github.com/easymicro/easymicro/config"
)

// loadError prints the problems of a set, one a line, and gives the error that carries their exit code. Other errors
// pass.
func (a *app) loadError(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	errs := problems.Errors()
	for _, p := range errs {
		fmt.Fprintln(a.io.Err, p.String())
	}
	return &exitError{ExitFailed, fmt.Errorf("%s: %s", a.manifest, count(len(errs), "problem"))}
}

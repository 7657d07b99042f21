package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/admin"
)

// client asks the running host: at --admin, else where the manifest says, else at the default address.
func (a *app) client() (*admin.Client, error) {
	c := &admin.Client{Address: a.admin}
	tokenFile := ""
	if set, err := load.Load(a.manifest, load.Options{}); err == nil {
		m := set.Manifest
		if c.Address == "" {
			c.Address = string(m.Admin.Address)
			if c.Address == "" {
				return nil, &exitError{ExitUnreachable, fmt.Errorf("%s has no admin listener (admin.address is empty)", a.manifest)}
			}
			if rest, ok := strings.CutPrefix(c.Address, "unix://"); ok {
				c.Address = "unix://" + set.Path(rest)
			}
		}
		if m.Admin.TokenFile != "" {
			tokenFile = set.Path(m.Admin.TokenFile)
		}
	}
	if tokenFile == "" {
		return c, nil
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("the token of the admin listener: %w", err)
	}
	c.Token = strings.TrimSpace(string(token))
	return c, nil
}

// hostError gives an error of the admin API its exit code.
func hostError(err error) error {
	var answered *admin.Error
	var unreachable *admin.UnreachableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreachable):
		return &exitError{ExitUnreachable, err}
	case errors.As(err, &answered):
		return &exitError{ExitAnswered, err}
	}
	return err
}

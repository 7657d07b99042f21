package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// client asks the running host: at --admin, else where the manifest says, else at the default address.
func (a *app) client() (*admin.Client, error) {
	if err := checkAdmin(a.admin); err != nil {
		return nil, err
	}
	m, err := a.readManifest()
	if err == nil && m != nil {
		err = m.usable("admin", "--admin ADDRESS")
	}
	if err != nil {
		if a.admin != "" && !a.named {
			return &admin.Client{Address: a.admin}, nil // a broken manifest that nobody asked for
		}
		return nil, err
	}
	c := &admin.Client{Address: a.admin}
	if m == nil {
		return c, nil
	}
	if c.Address == "" {
		if c.Address, err = m.adminAddress(); err != nil {
			return nil, err
		}
		a.adminFrom = m.file
	}
	c.Token, err = m.adminToken()
	return c, err
}

// checkAdmin tells what is wrong with the address of --admin or EASYMICRO_ADMIN.
func checkAdmin(address string) error {
	if address == "" || strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		return nil
	}
	if _, _, err := config.Address(address).Split(); err != nil {
		return usageError("--admin: %w", err)
	}
	return nil
}

func (m *localManifest) adminAddress() (string, error) {
	at := m.Admin.Address
	network, path, err := at.Split()
	switch {
	case at == "":
		return "", &exitError{code: ExitUnreachable, err: fmt.Errorf("%s has no admin listener (admin.address is empty)", m.file)}
	case err != nil:
		return "", failed("%s: admin.address: %w", m.file, err)
	case network == "unix":
		return "unix://" + m.path(path), nil
	}
	if _, port, ok := strings.Cut(path, ":"); ok && port == "0" {
		return "", failed("%s lets the system choose the port of admin.address: say which it is with --admin ADDRESS", m.file)
	}
	return string(at), nil
}

func (m *localManifest) adminToken() (string, error) {
	if m.Admin.TokenFile == "" {
		return "", nil
	}
	path := m.path(m.Admin.TokenFile)
	token, err := readFile(path, config.MaxSecretBytes)
	if err != nil {
		return "", fmt.Errorf("the token of the admin listener (admin.tokenFile): %s %s", path, files.Reason(err))
	}
	return strings.TrimSpace(string(token)), nil
}

// hostError gives an error of the admin API its exit code.
func (a *app) hostError(err error) error {
	var answered *admin.Error
	var unreachable *admin.UnreachableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreachable):
		hint := "is the host running? easymicro serve starts it, --admin says where it is"
		if a.adminFrom != "" {
			hint += "; if admin.address of " + a.adminFrom + " was edited, that waits for a restart, and --admin OLD reaches the host"
		}
		return &exitError{code: ExitUnreachable, err: fmt.Errorf("%w: %s", err, hint)}
	case errors.As(err, &answered):
		if _, ok := code.Parse(answered.Code); ok {
			err = fmt.Errorf("a listener for calls answered, not an admin listener (%s): is --admin right?", answered.Detail)
		}
		return &exitError{code: ExitAnswered, err: err, problems: problemsOf(answered.Problems)}
	}
	return err
}

func problemsOf(list []admin.Problem) config.Problems {
	problems := make(config.Problems, len(list))
	for i := range list {
		problems[i] = config.Problem(list[i])
	}
	return problems
}

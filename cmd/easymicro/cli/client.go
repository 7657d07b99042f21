package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// hostClient calls the admin API of the running host.
type hostClient struct {
	*admin.Client
	manifest string // the file that gave the address, if one did
	keyed    bool   // --admin-token-file was given
}

// newHostClient returns a client for --admin, else for admin.address of the manifest, else for the default address.
func newHostClient(a *app) (*hostClient, error) {
	if err := checkAdmin(a.admin); err != nil {
		return nil, err
	}
	m, err := readManifest(a)
	if err == nil && m != nil {
		err = m.usable("admin", "--admin ADDRESS")
	}
	c := &hostClient{Client: &admin.Client{Address: a.admin}, keyed: a.adminKey != ""}
	var unread error
	if c.Token, unread = readSecret(context.Background(), "--admin-token-file", a.adminKey); unread != nil {
		return nil, unread
	}
	if a.adminCA != "" {
		var wrong error
		if c.TLS, wrong = (&tlsFiles{caFlag: "--admin-ca-file", ca: a.adminCA}).config(context.Background()); wrong != nil {
			return nil, wrong
		}
		if c.Address != "" && !strings.Contains(c.Address, "://") {
			c.Address = "https://" + dialable(c.Address)
		}
	}
	if err != nil {
		if a.admin != "" && !a.named {
			return c, nil // a default manifest that is broken, and not needed
		}
		return nil, err
	}
	if m == nil {
		return c, nil
	}
	if c.Address == "" {
		if c.Address, err = m.adminAddress(); err != nil {
			return nil, err
		}
		c.manifest = m.file
	}
	if !c.keyed {
		c.Token, err = m.adminToken()
	}
	return c, err
}

// checkAdmin checks the address of --admin or EASYMICRO_ADMIN.
func checkAdmin(address string) error {
	if address == "" || strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		return nil
	}
	if _, _, err := config.Address(address).Split(); err != nil {
		return usageError("--admin: %w", err)
	}
	return nil
}

// services returns the services of the host.
func (c *hostClient) services(ctx context.Context) ([]admin.Service, error) {
	services, err := c.Services(ctx)
	return services, c.failed(err)
}

// discovered returns the services of other hosts that the host knows by discovery, as a gateway does. It returns none if
// the host does not answer.
func (c *hostClient) discovered(ctx context.Context) []admin.Discovered {
	status, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	var list []admin.Discovered
	for i := range status.Discovery {
		list = append(list, status.Discovery[i].Services...)
	}
	return list
}

// failed adds the exit code and a hint to an error of the admin API.
func (c *hostClient) failed(err error) error {
	if _, ok := errors.AsType[*admin.UnreachableError](err); ok {
		hint := "is the host running? Start it with easymicro serve, or set its address with --admin"
		if advice := adminAdvice(err); advice != "" {
			hint = advice
		} else if c.manifest != "" {
			hint += "; a change of admin.address in " + c.manifest + " needs a restart: until then use --admin OLD_ADDRESS"
		}
		return &exitError{code: ExitUnreachable, err: fmt.Errorf("%w: %s", err, hint)}
	}
	if answered, ok := errors.AsType[*admin.Error](err); ok {
		if _, ok := code.Parse(answered.Code); ok {
			err = fmt.Errorf("the address answers, but is not an admin listener (%s): check --admin", answered.Detail)
		} else if advice := c.tokenAdvice(answered.Code); advice != "" {
			err = fmt.Errorf("%s: %s", answered.Detail, advice)
		}
		return &exitError{code: ExitAnswered, err: err, problems: answered.Problems}
	}
	return err
}

// tokenAdvice returns what to do about a request that the host refused because of its token, or "".
func (c *hostClient) tokenAdvice(code string) string {
	switch {
	case code == admin.CodeUnauthenticated && c.keyed:
		return "check --admin-token-file"
	case code == admin.CodeUnauthenticated && c.Token != "":
		return "admin.tokenFile of the manifest has another one: pass yours with --admin-token-file"
	case code == admin.CodeUnauthenticated:
		return "pass yours with --admin-token-file or EASYMICRO_ADMIN_TOKEN_FILE"
	case code == admin.CodeForbidden && c.keyed:
		return "pass one that may with --admin-token-file"
	}
	return ""
}

// adminAdvice returns which flag helps if the handshake with the admin listener failed.
func adminAdvice(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "pass the CA that signed the certificate of the admin listener with --admin-ca-file"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "pass a name in the certificate of the admin listener with --admin https://NAME:PORT"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "the admin listener does not use TLS: use --admin http://HOST:PORT"
	}
	return ""
}

// namesOf returns all names of a service.
func namesOf(s *admin.Service) []string { return append([]string{s.Name}, s.Aliases...) }

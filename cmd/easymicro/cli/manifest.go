package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
)

// localManifest is the manifest as a command reads it that asks or calls a host: without policy files, whose problems
// such a command is needed for.
type localManifest struct {
	*config.Manifest
	file     string
	problems config.Problems
}

// readManifest reads the manifest of -c. It is nil when none was named and the default one is not there.
func (a *app) readManifest() (*localManifest, error) {
	data, err := readFile(a.manifest, config.MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) && !a.named {
		return nil, nil //nolint:nilnil // no manifest is no error
	}
	if err != nil {
		return nil, a.noManifest(err)
	}
	m := &localManifest{file: a.manifest}
	m.Manifest, m.problems = config.DecodeManifest(a.manifest, data, os.LookupEnv)
	for path, name := range map[string]string{"listeners[0].address": "LISTEN", "admin.address": "ADMIN_LISTEN"} {
		if value := os.Getenv(load.EnvPrefix + "_" + name); value != "" {
			m.problems = append(m.problems, m.Override(path, value, load.EnvPrefix+"_"+name)...)
		}
	}
	return m, nil
}

// noManifest says what to do about a manifest that cannot be read.
func (a *app) noManifest(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return failed("the manifest cannot be read: %w", err)
	}
	if a.named {
		return failed("there is no manifest %s", a.manifest)
	}
	return failed("there is no %s here: name your manifest with -c FILE or EASYMICRO_CONFIG", a.manifest)
}

// usable fails when what the manifest says of one of its blocks is wrong; instead is the flag that makes do without.
func (m *localManifest) usable(block, instead string) error {
	var found config.Problems
	for _, p := range m.problems.Errors() {
		if p.Path == "" || strings.HasPrefix(p.Path, block) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &exitError{ExitFailed, fmt.Errorf("%s does not say where the host is: mend it, or say %s", m.file, instead), found}
}

// path is a path of the manifest as this process opens it.
func (m *localManifest) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(m.file), path)
}

// listener is the first one that speaks a protocol.
func (m *localManifest) listener(protocol string) *config.Listener {
	i := slices.IndexFunc(m.Listeners, func(l config.Listener) bool { return slices.Contains(l.Protocols, protocol) })
	if i < 0 {
		return nil
	}
	return &m.Listeners[i]
}

// service is the one of a name on the wire, which may be an alias and in another case.
func (m *localManifest) service(name string) *config.Service {
	for i := range m.Services {
		s := &m.Services[i]
		if slices.ContainsFunc(append([]string{s.Name}, s.Aliases...), func(n string) bool { return strings.EqualFold(n, name) }) {
			return s
		}
	}
	return nil
}

// readFile reads a file of a manifest, or of a set.
func readFile(path string, most int64) ([]byte, error) {
	return new(files.Gate).Read(context.Background(), path, most)
}

// givenPatience bounds the wait for the writer of a pipe that a flag names, such as a program that first asks for a
// passphrase.
const givenPatience = time.Minute

// readGiven reads the file of a flag, which may be a pipe of a program that keeps secrets.
func readGiven(ctx context.Context, flag, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, givenPatience)
	defer cancel()
	data, err := files.ReadStream(ctx, path, most)
	if err != nil {
		return nil, failed("%s: %s %s", flag, path, files.Reason(err))
	}
	return data, nil
}

// secret is what stands in the file of a flag, and nothing without one.
func secret(ctx context.Context, flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := readGiven(ctx, flag, path, config.MaxSecretBytes)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", failed("%s: %s is empty", flag, path)
	}
	return text, nil
}

const defaultAddress config.Address = "127.0.0.1:8972"

// target is where to call: --address, else the first listener of the manifest that speaks the protocol, else the
// default of a manifest.
func (c *call) target(protocol string) (network, address string, err error) {
	if c.address != "" {
		if network, address, err = config.Address(c.address).Split(); err != nil {
			return "", "", usageError("--address: %w", err)
		}
		return network, reachable(address), nil
	}
	m, err := c.app.readManifest()
	if err == nil && m != nil {
		err = m.usable("listeners", "--address ADDRESS")
	}
	if err != nil {
		return "", "", err
	}
	at := defaultAddress
	if m != nil {
		l := m.listener(protocol)
		if l == nil {
			return "", "", failed("no listener of %s speaks %s: say where to call with --address", m.file, protocol)
		}
		at = l.Address
	}
	if network, address, err = at.Split(); err != nil {
		return "", "", failed("%s: the address of its listener: %w", m.file, err)
	}
	if network == "unix" {
		return network, m.path(address), nil
	}
	if _, port, err := net.SplitHostPort(address); err == nil && port == "0" {
		return "", "", failed("%s lets the system choose the port: easymicro status shows it, --address takes it", m.file)
	}
	return network, reachable(address), nil
}

// reachable is where on this machine one reaches what listens on all its addresses.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
)

// localManifest is the manifest as read by commands that inspect or call a host: without its policy files, so that these
// commands work while those are broken.
type localManifest struct {
	*config.Manifest
	file     string
	problems config.Problems
}

// readManifest reads the manifest of --config. It returns nil if none was named and the default one does not exist.
func readManifest(a *app) (*localManifest, error) {
	if err := notDirectory(a.manifest); err != nil {
		return nil, err
	}
	data, err := readFile(a.manifest, config.MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) && !a.named {
		return nil, nil //nolint:nilnil // no manifest is not an error
	}
	if err != nil {
		return nil, noManifest(a, err)
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

// noManifest explains a manifest that cannot be read.
func noManifest(a *app, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return failed("cannot read the manifest: %w", err)
	}
	if a.named {
		return failed("manifest %s not found", a.manifest)
	}
	return failed("no %s in this directory: name your manifest with -c FILE or EASYMICRO_CONFIG", a.manifest)
}

// notDirectory returns an error if path is a directory, with the manifest in it if there is one.
func notDirectory(path string) error {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil //nolint:nilerr // reading it reports other errors
	}
	inside := filepath.Join(path, defaultManifest)
	if _, err := os.Stat(inside); err != nil {
		return failed("%s is a directory, not a file", path)
	}
	return failed("%s is a directory (did you mean %s?)", path, inside)
}

// usable returns an error if a block of the manifest is invalid. instead is the flag to use in place of the block.
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
	return &exitError{ExitFailed, fmt.Errorf("%s does not contain a usable address of the host: fix it, or pass %s", m.file, instead), found}
}

// path resolves a path of the manifest for this process.
func (m *localManifest) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(m.file), path)
}

// listener returns the first listener that serves a protocol.
func (m *localManifest) listener(protocol string) *config.Listener {
	for i := range m.Listeners {
		if l := &m.Listeners[i]; slices.Contains(l.Protocols, protocol) {
			return l
		}
	}
	return nil
}

// service finds a service by its name or an alias, ignoring case.
func (m *localManifest) service(name string) *config.Service {
	for i := range m.Services {
		s := &m.Services[i]
		if slices.ContainsFunc(append([]string{s.Name}, s.Aliases...), func(n string) bool { return strings.EqualFold(n, name) }) {
			return s
		}
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
		return "", failed("%s lets the system choose the port of admin.address: pass it with --admin ADDRESS", m.file)
	}
	if m.Admin.TLS != nil {
		return "https://" + dialable(path), nil
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

// callAddress returns where to call: the address of the flag, else the first listener of the manifest that serves the
// protocol, else the default of a manifest.
func callAddress(a *app, flag, protocol string) (network, address string, err error) {
	if flag != "" {
		if network, address, err = config.Address(flag).Split(); err != nil {
			return "", "", usageError("--address: %w", err)
		}
		return network, dialable(address), nil
	}
	m, err := readManifest(a)
	if err == nil && m != nil {
		err = m.usable("listeners", "--address ADDRESS")
	}
	if err != nil {
		return "", "", err
	}
	at := defaultListen
	if m != nil {
		l := m.listener(protocol)
		if l == nil {
			return "", "", failed("no listener of %s serves %s: pass the address with --address", m.file, protocol)
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
		return "", "", failed("%s lets the system choose the port: see easymicro status, and pass it with --address", m.file)
	}
	return network, dialable(address), nil
}

// dialable replaces an unspecified IP address by the loopback one.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// readFile reads a file that a manifest or an argument names.
func readFile(path string, maxBytes int64) ([]byte, error) {
	return new(files.Gate).Read(context.Background(), path, maxBytes)
}

// pipeTimeout bounds the wait for the writer of a pipe given to a flag, such as a program that asks for a passphrase.
const pipeTimeout = time.Minute

// readFlag reads the file of a flag, which may be a pipe from a secret manager.
func readFlag(ctx context.Context, flag, path string, maxBytes int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pipeTimeout)
	defer cancel()
	data, err := files.ReadStream(ctx, path, maxBytes)
	if err != nil {
		return nil, failed("%s: %s %s", flag, path, files.Reason(err))
	}
	return data, nil
}

// readSecret reads the secret in the file of a flag. It returns "" without a file.
func readSecret(ctx context.Context, flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := readFlag(ctx, flag, path, config.MaxSecretBytes)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", failed("%s: %s is empty", flag, path)
	}
	return text, nil
}

// unknownVariables warns about environment variables that look like misspelt EASYMICRO_* ones. Commands that load the files
// of a host warn by themselves, since they know which variables the files use; completion cannot show a warning.
func unknownVariables(a *app, cmd *cobra.Command) {
	if slices.Contains([]string{"serve", "gateway", "validate", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, cmd.Name()) {
		return
	}
	misspelt := slices.DeleteFunc(load.Unknown(nil), func(w config.Problem) bool { return w.Suggestion == "" })
	if len(misspelt) == 0 {
		return
	}
	manifest, _ := readFile(a.manifest, config.MaxFileBytes)
	for _, w := range misspelt {
		if bytes.Contains(manifest, []byte("${"+w.Path)) {
			continue
		}
		w.Message = "not a variable of easymicro"
		if a.format == formatJSON {
			_ = json.NewEncoder(a.err).Encode(map[string]config.Problem{"warning": w})
			continue
		}
		a.note("easymicro: warning: %s", w)
	}
}

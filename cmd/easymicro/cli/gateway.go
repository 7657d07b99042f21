package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
)

// gatewayListen is the default listen address of a gateway.
const gatewayListen = "127.0.0.1:8887"

// gatewayCommand runs a host that has no services of its own and routes HTTP to those in etcd.
type gatewayCommand struct {
	hosting
	etcd               etcdFlags
	services, policies []string
	metadata           map[string]string
}

func newGateway(a *app) *cobra.Command {
	c := &gatewayCommand{hosting: hosting{app: a}}
	cmd := &cobra.Command{
		Use:   "gateway --etcd URL[,URL]",
		Short: "Route HTTP to every service in etcd",
		Long: `gateway is a host without services of its own: it routes POST /{service}/{method} to all services that are published in
etcd. New services appear and dead ones disappear without a restart. JSON is passed on undecoded, so it needs no types.

It needs no manifest: flags configure it, and --policies names files with rules, which are hot-reloaded. For everything that
flags cannot express (TLS, tokens, custom routes, more listeners), run serve with gateway.remote in a manifest.
If another process uses the default admin address, the gateway takes a free port for it, and prints it.

SIGTERM and SIGINT drain it; a second signal ends it at once.`,
		Example: `  easymicro gateway --etcd http://127.0.0.1:2379 --listen :8887
  easymicro gateway --etcd http://10.0.0.1:2379,http://10.0.0.2:2379 --services 'Arith,Order*' --policies rules.yaml`,
		Args: noArgs,
		RunE: c.run,
	}
	c.etcd.add(cmd, "comma-separated `URL`s of the etcd servers to find the services in")
	flags := cmd.Flags()
	flags.StringSliceVar(&c.services, "services", []string{"*"}, "comma-separated `NAMES` of the services to expose; * matches any text")
	flags.StringArrayVar(&c.policies, "policies", nil, "policy `FILE`, or a glob of files; repeatable")
	flags.StringToStringVar(&c.metadata, "metadata", nil, "pass an HTTP header on as metadata, `NAME=HEADER`; repeatable")
	c.addFlags(cmd, map[string]string{"listen": gatewayListen, "log-level": "info", "log-format": "auto", "admin-listen": defaultAdmin}, false)
	_ = cmd.RegisterFlagCompletionFunc("services", cobra.NoFileCompletions)
	_ = cmd.MarkFlagFilename("policies", "yaml", "yml")
	return cmd
}

func (c *gatewayCommand) run(cmd *cobra.Command, _ []string) error {
	if cmd.Flags().Changed("config") {
		return usageError("gateway takes no manifest: easymicro serve -c %s runs one, which may contain gateway.remote", c.app.manifest)
	}
	if len(c.etcd.urls) == 0 {
		return usageError("gateway needs etcd: pass --etcd URL[,URL], e.g. http://127.0.0.1:2379")
	}
	if err := c.etcd.check(); err != nil {
		return err
	}
	if err := noManifests(c.policies); err != nil {
		return err
	}
	m := c.manifest()
	var notes []string
	if adminTaken(cmd) {
		m["admin"] = map[string]any{"address": "127.0.0.1:0"}
		notes = append(notes, "admin address "+defaultAdmin+" is in use: using a free port (choose one with --admin-listen)")
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte("${"), []byte("$${")) // flags contain no variables
	c.app.manifest = gatewayManifest
	return gatewayError(c.serve(cmd, load.Options{Flags: cmd.Flags(), Manifest: text}, notes...))
}

// adminTaken reports whether the admin address is the default and in use, for instance by a host on the same machine.
func adminTaken(cmd *cobra.Command) bool {
	if cmd.Flags().Changed("admin-listen") || os.Getenv(load.EnvPrefix+"_ADMIN_LISTEN") != "" {
		return false
	}
	ln, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", defaultAdmin)
	if err != nil {
		return true
	}
	_ = ln.Close()
	return false
}

// manifest builds the manifest from the flags.
func (c *gatewayCommand) manifest() map[string]any {
	f := &c.etcd
	cluster := map[string]any{"name": "main", "endpoints": f.urls}
	if len(f.layouts) > 0 {
		cluster["layouts"] = f.layouts
	}
	if f.prefix != "" {
		cluster["prefix"] = f.prefix
	}
	if f.userFile != "" {
		cluster["usernameFile"], cluster["passwordFile"] = f.userFile, f.passwordFile
	}
	files := map[string]string{}
	for field, file := range map[string]string{"caFile": f.caFile, "certFile": f.certFile, "keyFile": f.keyFile} {
		if file != "" {
			files[field] = file
		}
	}
	if len(files) > 0 {
		cluster["tls"] = files
	}
	for i, pattern := range c.policies {
		c.policies[i] = filepath.ToSlash(pattern)
	}
	gateway := map[string]any{"remote": map[string]any{"etcd": "main", "services": c.services}}
	if len(c.metadata) > 0 {
		gateway["metadata"] = c.metadata
	}
	m := map[string]any{
		"listeners": []any{map[string]any{"name": "main", "address": gatewayListen}},
		"discovery": map[string]any{"etcd": []any{cluster}},
		"gateway":   gateway,
	}
	if len(c.policies) > 0 {
		m["policies"] = map[string]any{"files": c.policies}
	}
	return m
}

// gatewayFlags maps paths in the manifest to the flags that set them.
var gatewayFlags = []struct{ path, flag string }{
	{"listeners[0].address", "--listen"},
	{"admin.address", "--admin-listen"},
	{"host.name", "--name"},
	{"telemetry.logs.level", "--log-level"},
	{"telemetry.logs.format", "--log-format"},
	{"gateway.remote.services", "--services"},
	{"policies.files", "--policies"},
	{"gateway.metadata", "--metadata"},
	{"discovery.etcd[0].endpoints", "--etcd"},
	{"discovery.etcd[0].layouts", "--layouts"},
	{"discovery.etcd[0].prefix", "--prefix"},
	{"discovery.etcd[0].usernameFile", "--etcd-user-file"},
	{"discovery.etcd[0].passwordFile", "--etcd-password-file"},
	{"discovery.etcd[0].tls.caFile", "--etcd-ca-file"},
	{"discovery.etcd[0].tls.certFile", "--etcd-cert-file"},
	{"discovery.etcd[0].tls.keyFile", "--etcd-key-file"},
}

// gatewayError rewrites problems in the generated manifest, which users never see, to name flags.
func gatewayError(err error) error {
	exit, ok := errors.AsType[*exitError](err)
	if !ok || len(exit.problems) == 0 {
		return err
	}
	problems := slices.Clone(exit.problems)
	for i := range problems {
		p := &problems[i]
		if p.File != gatewayManifest && !strings.HasPrefix(p.File, "--") {
			continue
		}
		for _, f := range gatewayFlags {
			if strings.HasPrefix(p.Path, f.path) {
				*p = config.Problem{File: f.flag, Message: p.Message, Suggestion: p.Suggestion, Warning: p.Warning}
				p.Message, _, _ = strings.Cut(p.Message, "; policies.allowEmpty")
				break
			}
		}
	}
	return wrongFlags(&exitError{exit.code, fmt.Errorf("the gateway cannot start: %s", count(len(problems.Errors()), "problem")), problems})
}

// noManifests rejects manifests among policy files.
func noManifests(patterns []string) error {
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern) // bad patterns are reported later
		for _, file := range files {
			if data, err := readFile(file, config.MaxFileBytes); err == nil && isManifest(data) {
				return usageError("--policies: %s is a manifest: run it with easymicro serve -c %s", file, file)
			}
		}
	}
	return nil
}

// isManifest reports whether a file has a key that only manifests have.
func isManifest(data []byte) bool {
	only := []string{"services", "listeners", "gateway", "discovery", "upstreams"}
	return slices.ContainsFunc(config.OutlineOf(data).Keys, func(key string) bool { return slices.Contains(only, key) })
}

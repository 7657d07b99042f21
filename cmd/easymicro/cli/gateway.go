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

// gatewayManifest is how problems name the manifest that the flags of a gateway make.
const gatewayManifest = "gateway-flags"

// defaultAdmin is where the admin listener of a host is if nobody says otherwise.
const defaultAdmin = "127.0.0.1:8970"

// defaultListen is where a gateway listens if nobody says otherwise.
const defaultListen = "127.0.0.1:8887"

func (a *app) gateway() *cobra.Command {
	var f etcdFlags
	var services, policies []string
	var metadata map[string]string
	cmd := &cobra.Command{
		Use:   "gateway --etcd URL[,URL]",
		Short: "Route HTTP to every service that etcd knows",
		Long: `gateway is a host without services of its own: it routes POST /{service}/{method} to all services that are published in
etcd. New ones appear and dead ones vanish without a restart. JSON passes undecoded, so that it needs to know no types.

It needs no manifest: the flags say it all, and --policies names files with rules, which are followed while it runs. What
flags cannot say (TLS, tokens, routes of its own, other listeners), serve does with gateway.remote in a manifest.
Where another process has the admin listener's default address, it gets a free port, which the screen names.

SIGTERM and SIGINT drain it; a second one ends it at once.`,
		Example: `  easymicro gateway --etcd http://127.0.0.1:2379 --listen :8887
  easymicro gateway --etcd http://10.0.0.1:2379,http://10.0.0.2:2379 --services 'Arith,Order*' --policies rules.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Lookup("config").Changed {
				return usageError("gateway takes no manifest: easymicro serve -c %s runs one, which may have gateway.remote", a.manifest)
			}
			if len(f.urls) == 0 {
				return usageError("say which etcd knows the services: --etcd URL[,URL], such as http://127.0.0.1:2379")
			}
			if err := f.check(); err != nil {
				return err
			}
			if err := noManifests(policies); err != nil {
				return err
			}
			m := f.manifest(services, policies, metadata)
			var notes []string
			if adminTaken(cmd) {
				m["admin"] = map[string]any{"address": "127.0.0.1:0"}
				notes = append(notes, "the admin listener has a free port, as "+defaultAdmin+" is taken: --admin-listen says another one")
			}
			text, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				return err
			}
			text = bytes.ReplaceAll(text, []byte("${"), []byte("$${")) // nothing of a flag is a variable of ours
			a.manifest = gatewayManifest
			return gatewayError(a.runHost(cmd, gatewayManifest, load.Options{Flags: cmd.Flags(), Manifest: text}, notes...))
		},
	}
	f.add(cmd, "`URL` of the etcd that knows the services; several with commas")
	flags := cmd.Flags()
	flags.String("listen", defaultListen, "`ADDRESS` to listen on (EASYMICRO_LISTEN)")
	flags.StringSliceVar(&services, "services", []string{"*"}, "`NAMES` of the services that may be reached; * stands for any text")
	flags.StringArrayVar(&policies, "policies", nil, "`FILE` with rules, or a pattern of files; may be repeated")
	flags.StringToStringVar(&metadata, "metadata", nil, "pass the HTTP header on as metadata: `NAME=HEADER`; may be repeated")
	flags.String("name", "", "`NAME` of the host (EASYMICRO_NAME; default: the machine's)")
	flags.String("log-level", "info", "debug, info, warn or error: `LEVEL` of the log (EASYMICRO_LOG_LEVEL)")
	flags.String("log-format", "auto", "auto, text or json: `FORMAT` of the log (EASYMICRO_LOG_FORMAT)")
	flags.String("admin-listen", defaultAdmin, "`ADDRESS` of the admin listener; '' for none (EASYMICRO_ADMIN_LISTEN)")
	a.screenFlag(cmd)
	completeHosting(cmd)
	_ = cmd.RegisterFlagCompletionFunc("services", cobra.NoFileCompletions)
	_ = cmd.MarkFlagFilename("policies", "yaml", "yml")
	return cmd
}

// adminTaken reports whether the default admin address is in use by another process, such as a host beside the gateway,
// and nobody chose one.
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

// manifest is the flags as a manifest says them.
func (f *etcdFlags) manifest(services, policies []string, metadata map[string]string) map[string]any {
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
	for i, pattern := range policies {
		policies[i] = filepath.ToSlash(pattern)
	}
	gateway := map[string]any{"remote": map[string]any{"etcd": "main", "services": services}}
	if len(metadata) > 0 {
		gateway["metadata"] = metadata
	}
	m := map[string]any{
		"listeners": []any{map[string]any{"name": "main", "address": defaultListen}},
		"discovery": map[string]any{"etcd": []any{cluster}},
		"gateway":   gateway,
	}
	if len(policies) > 0 {
		m["policies"] = map[string]any{"files": policies}
	}
	return m
}

// whichFlag adds to the addresses that a host cannot listen on, by which flag it gets others.
func whichFlag(err error) error {
	flags := map[string]string{"admin.address": "--admin-listen", "listeners[0].address": "--listen"}
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	problems = slices.Clone(problems)
	for i := range problems {
		p := &problems[i]
		if flag := flags[p.Path]; flag != "" && strings.HasPrefix(p.Message, "cannot listen: ") {
			p.Message += " (" + flag + " ADDRESS says another one)"
		}
	}
	return problems
}

// wrongFlags gives an error that is only about the values of flags the exit code of those. A flag is not wrong because an
// address is taken, or a file not there.
func wrongFlags(err error) error {
	var exit *exitError
	if !errors.As(err, &exit) || len(exit.problems) == 0 {
		return err
	}
	outside := []string{"cannot listen: ", "cannot be read", "matches no file"}
	wrong := func(p config.Problem) bool {
		return strings.HasPrefix(p.File, "--") && !slices.ContainsFunc(outside, func(of string) bool { return strings.Contains(p.Message, of) })
	}
	if slices.ContainsFunc(exit.problems.Errors(), func(p config.Problem) bool { return !wrong(p) }) {
		return err
	}
	return &exitError{code: ExitUsage, err: fmt.Errorf("wrong flags: %s", count(len(exit.problems.Errors()), "problem")), problems: exit.problems}
}

// gatewayFlags are the flags of a gateway, by what they say in its manifest.
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

// gatewayError names the flags in place of the manifest that they make, which nobody sees.
func gatewayError(err error) error {
	var exit *exitError
	if !errors.As(err, &exit) || len(exit.problems) == 0 {
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
				p.Message, _, _ = strings.Cut(p.Message, "; with policies.allowEmpty")
				break
			}
		}
	}
	return wrongFlags(&exitError{exit.code, fmt.Errorf("the gateway does not start: %s", count(len(problems.Errors()), "problem")), problems})
}

// noManifests refuses manifests where files with rules are wanted.
func noManifests(patterns []string) error {
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern) // a bad pattern is found later
		for _, file := range files {
			if data, err := readFile(file, config.MaxFileBytes); err == nil && isManifest(data) {
				return usageError("--policies: %s is a manifest: easymicro serve -c %s runs it", file, file)
			}
		}
	}
	return nil
}

// isManifest reports whether a file has what only manifests have.
func isManifest(data []byte) bool {
	only := []string{"services", "listeners", "gateway", "discovery", "upstreams"}
	return slices.ContainsFunc(config.OutlineOf(data).Keys, func(key string) bool { return slices.Contains(only, key) })
}

package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

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

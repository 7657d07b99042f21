package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

var update = flag.Bool("update", false, "write the generated files anew")

func TestReferenceIsWhatTheTypesSay(t *testing.T) {
	want := config.Reference()
	if *update {
		if err := os.WriteFile("REFERENCE.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("REFERENCE.md is not what the types say: go generate ./config")
	}
}

func TestEveryFieldHasAReloadClassAndADoc(t *testing.T) {
	fields := config.Fields()
	if len(fields) < 150 {
		t.Fatalf("%d fields: the walk over the types misses some", len(fields))
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if f.Class != config.Live && f.Class != config.Rolling && f.Class != config.Restart {
			t.Errorf("%s has the reload class %q", f.Path, f.Class)
		}
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s has the doc %q, which is no sentence", f.Path, f.Doc)
		}
		if seen[f.Path] {
			t.Errorf("%s stands twice", f.Path)
		}
		seen[f.Path] = true
	}
}

func TestReloadClassesAreThoseOfTheSpecification(t *testing.T) {
	classes := map[string]config.Class{}
	for _, f := range config.Fields() {
		classes[f.Path] = f.Class
	}
	for path, want := range map[string]config.Class{
		"host.name": config.Restart, "host.state.dir": config.Restart, "admin.address": config.Restart, "admin.pprof": config.Restart,
		"admin.tokenFile": config.Live, "host.labels": config.Live, "host.shutdown.gracePeriod": config.Live,
		"listeners": config.Rolling, "listeners[].address": config.Rolling, "listeners[].limits.idleTimeout": config.Live,
		"host.limits.maxInFlight": config.Live, "host.limits.maxBufferedBytes": config.Live, "listeners[].limits.maxMetadataPairs": config.Live,
		"services": config.Rolling, "services[].handler": config.Rolling, "services[].options": config.Live,
		"services[].methods.expose": config.Live, "services[].metadata": config.Live, "services[].accessLog": config.Live,
		"rules[].rateLimit.rate": config.Live, "policies.watch.poll": config.Live, "auth.tokens.file": config.Live,
		"telemetry.logs.level": config.Live, "gateway.routes[].path": config.Live, "upstreams[].service": config.Live,
		"discovery.etcd[].prefix": config.Live, "tokens[].expires": config.Live,
	} {
		if classes[path] != want {
			t.Errorf("%s is %q, want %s", path, classes[path], want)
		}
	}
}

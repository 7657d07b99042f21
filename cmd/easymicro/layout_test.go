package main

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// A row lists what a package may import: packages of this module by their path in it, others by module or package path. Its
// tests may import that, the packages in tests, the standard library and testLibraries.
type row struct {
	ours, others, tests []string
}

// layout is the table of the architecture: changing it changes the architecture. Lower layers come first, and a package
// imports none that is listed after it. A path that ends in /* stands for every package below it without its own row.
var layout = map[string]row{
	"wire/code":            {},
	"wire/wildcard":        {},
	"wire/internal/accept": {},

	"wire": {
		ours: []string{"wire/code", "wire/internal/accept"},
		others: []string{
			"github.com/go-json-experiment/json", "google.golang.org/protobuf", "github.com/apache/thrift",
			"github.com/vmihailenco/msgpack/v5", "github.com/tinylib/msgp", "github.com/klauspost/compress",
		},
		tests: []string{
			"samples/serialize/*", // one set of protobuf and thrift types
			"wire/mux",            // what a host's connections are
		},
	},
	"config/lint": {
		tests: []string{"config", "config/load", "registry", "host", "samples"}, // its examples are checked
	},
	"config": {
		ours:   []string{"config/lint", "wire/code", "wire/wildcard"},
		others: []string{"go.yaml.in/yaml/v4", "github.com/cespare/xxhash/v2"},
	},
	"registry": {ours: []string{"wire/code"}},

	"wire/mux": {ours: []string{"wire/internal/accept"}},
	"wire/client": {
		ours: []string{"wire", "wire/code", "wire/wildcard"}, others: []string{"github.com/cespare/xxhash/v2"},
		tests: []string{
			"samples/serialize/*",                  // one set of protobuf and thrift types
			"config", "host/discovery", "policies", // examples
		},
	},
	"wire/wiretest": {ours: []string{"wire", "wire/code"}},
	"config/files":  {},
	"config/load": {
		ours: []string{"config", "config/files", "config/lint"},
		others: []string{
			"github.com/spf13/viper", "github.com/spf13/pflag", "github.com/go-viper/mapstructure/v2", "go.yaml.in/yaml/v4",
		},
	},
	"config/watch":          {others: []string{"github.com/fsnotify/fsnotify"}},
	"registry/registrytest": {ours: []string{"registry", "wire/code"}},
	"policies/limit": {
		ours:   []string{"wire/code"},
		others: []string{"github.com/sony/gobreaker/v2", "github.com/juju/ratelimit"},
	},
	"policies/outgoing": {ours: []string{"config", "policies/limit", "wire/client", "wire/code"}},
	"policies": {
		ours:   []string{"config", "config/lint", "policies/limit", "policies/outgoing", "wire/client", "wire/code", "wire/wildcard"},
		others: []string{"github.com/cespare/xxhash/v2"},
	},
	"schema": {
		ours:   []string{"config", "registry", "wire/code"},
		others: []string{"github.com/invopop/jsonschema"},
		tests:  []string{"samples", "go.yaml.in/yaml/v4", "github.com/santhosh-tekuri/jsonschema/v6"},
	},

	"host/traffic": {ours: []string{"wire/code"}},
	"host/telemetry": {
		ours: []string{"wire", "wire/code", "host/traffic"},
		others: []string{
			"github.com/prometheus/client_golang", "github.com/lmittmann/tint", "golang.org/x/term", "go.opentelemetry.io/otel",
			"google.golang.org/grpc", // how soon a restarted collector is found again
		},
	},
	"host/telemetry/otlptest": {
		others: []string{"go.opentelemetry.io/proto/otlp", "google.golang.org/grpc", "google.golang.org/protobuf"},
	},
	"host/discovery": {ours: []string{"wire/client", "config", "config/files", "config/watch"}},
	"host/discovery/etcd": {
		ours:   []string{"wire/client"},
		others: []string{"go.etcd.io/etcd", "go.uber.org/zap", "google.golang.org/grpc"},
	},
	"host/machine":     {},
	"host/handover":    {others: []string{"golang.org/x/sys"}},
	"host/systemd":     {others: []string{"github.com/coreos/go-systemd/v22"}},
	"host/bearer":      {others: []string{"github.com/go-json-experiment/json", "github.com/golang-jwt/jwt/v5"}},
	"host/credentials": {ours: []string{"config", "config/files", "config/lint", "host/bearer"}, tests: []string{"config/load"}},
	"host/gateway":     {ours: []string{"wire", "wire/code"}, others: []string{"github.com/go-json-experiment/json"}},
	"host/admin":       {ours: []string{"config", "policies", "host/telemetry", "wire/code"}},
	"host/state":       {ours: []string{"config", "config/files", "host/admin"}},
	"host/forecast":    {ours: []string{"wire/code", "config", "policies", "host/admin", "host/traffic"}},
	"host/listen": {
		ours: []string{
			"wire", "wire/mux", "wire/code", "config", "host/admin", "host/credentials", "host/gateway", "host/handover", "host/machine", "host/telemetry",
		},
		others: []string{"github.com/pires/go-proxyproto"},
	},
	"host/route": {ours: []string{"wire", "wire/client", "wire/code", "config", "registry", "policies", "host/telemetry", "host/traffic"}},
	"host/outgoing": {
		ours: []string{
			"wire", "wire/client", "config", "config/files", "config/watch", "registry", "host/credentials", "host/telemetry", "host/discovery",
			"host/discovery/etcd", "host/route",
		},
	},
	"host/view": {
		ours: []string{
			"wire", "wire/client", "config", "registry", "policies", "host/admin", "host/telemetry", "host/discovery/etcd", "host/outgoing",
			"host/route", "host/traffic",
		},
	},
	"host": {
		ours: []string{
			"wire/code", "wire", "wire/mux", "config", "config/files", "config/lint", "config/load", "config/watch", "registry", "policies", "schema",
			"wire/client", "wire/wildcard", "host/telemetry", "host/gateway", "host/discovery", "host/discovery/etcd", "host/admin",
			"host/bearer", "host/credentials", "host/forecast", "host/handover", "host/machine", "host/listen", "host/outgoing", "host/route", "host/state", "host/systemd",
			"host/traffic", "host/view",
		},
		others: []string{"golang.org/x/sync"},
		tests: []string{
			"samples", "samples/serialize/*", "go.opentelemetry.io/proto/otlp", "google.golang.org/grpc",
			"google.golang.org/protobuf", "policies/limit", "github.com/golang-jwt/jwt/v5",
		},
	},
	"host/policytest": {
		ours: []string{
			"config", "config/files", "config/load", "registry", "policies", "wire/client", "wire/code", "wire/wildcard", "host", "host/discovery",
		},
		tests: []string{"samples"},
	},
	"host/hosttest": {
		ours:   []string{"host", "config", "config/load", "registry", "wire", "wire/code", "host/admin", "host/machine"},
		others: []string{"github.com/spf13/pflag"},
	},

	"cmd/easymicro/cli": {
		ours: []string{
			"wire/code", "wire", "config", "config/files", "config/lint", "config/load", "config/watch", "registry", "policies", "schema",
			"wire/client", "host", "host/telemetry", "host/gateway", "host/discovery", "host/discovery/etcd", "host/admin",
			"host/handover", "host/machine", "host/policytest", "host/systemd",
		},
		others: []string{
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/lmittmann/tint", "golang.org/x/term",
			"golang.org/x/sync", "go.yaml.in/yaml/v4",
		},
		tests: []string{"samples", "github.com/joshdk/go-junit", "github.com/santhosh-tekuri/jsonschema/v6"},
	},
	"cmd/easymicro": {
		ours:  []string{"cmd/easymicro/cli", "samples"},
		tests: []string{"config", "registry", "schema", "host"},
	},

	"samples": {
		ours:  []string{"registry", "wire/code", "samples/*"}, // importing it registers the handlers of all samples
		tests: []string{"config", "config/load", "host", "cmd/easymicro/cli"},
	},
	"samples/*": {
		ours: []string{"registry", "wire/code", "samples/*"},
		tests: []string{
			"wire", "config", "config/load", "policies", "host", "host/admin", "host/policytest", "cmd/easymicro/cli", "samples", "go.yaml.in/yaml/v4",
		},
	},
	"samples/fromrpcx": {
		ours: []string{"registry", "wire/code", "samples/*"},
		tests: []string{
			"wire", "wire/client", "policies", "config", "config/load", "registry", "host", "host/discovery", "samples",
		},
	},
	"samples/tracing/collector": {
		others: []string{"go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"},
		tests:  []string{"samples"},
	},
	"samples/tls/certs":  {},
	"samples/jwt/tokens": {others: []string{"github.com/golang-jwt/jwt/v5"}},
	"samples/client": {
		ours:  []string{"config", "host/discovery/etcd", "policies", "wire", "wire/client"},
		tests: []string{"host", "host/discovery", "samples"},
	},
	"samples/discovery": {
		ours:  []string{"registry", "wire/code", "samples/*"},
		tests: []string{"config", "config/load", "host", "host/discovery", "samples", "wire/client"},
	},
	"samples/discovery/caller": {
		ours:  []string{"config", "host/discovery/etcd", "policies", "samples/discovery", "wire/client", "wire/code"},
		tests: []string{"host", "host/discovery", "samples"},
	},
	"samples/serialize": {
		ours:   []string{"registry", "wire/code", "samples/*"},
		others: []string{"google.golang.org/protobuf", "github.com/apache/thrift"},
		tests:  []string{"wire", "config", "config/load", "host", "samples"},
	},
	"samples/serialize/*": {
		ours:   []string{"registry", "wire/code", "samples/*"},
		others: []string{"google.golang.org/protobuf", "github.com/apache/thrift"},
	},
}

// testPackages may be imported only by tests.
var testPackages = []string{"wire/wiretest", "registry/registrytest", "host/hosttest", "host/telemetry/otlptest"}

// testLibraries may be imported only by tests and testPackages.
var testLibraries = []string{
	"go.uber.org/goleak", "github.com/google/go-cmp", "pgregory.net/rapid", "github.com/rogpeppe/go-internal/testscript",
}

// light packages are for programs that are not hosts: they must not depend on heavy ones.
var (
	light = []string{"registry", "config", "wire/client", "wire"}
	heavy = []string{
		"go.etcd.io/etcd", "github.com/spf13/viper", "github.com/spf13/cobra", "github.com/prometheus/client_golang",
		"github.com/fsnotify/fsnotify", "go.opentelemetry.io", "google.golang.org/grpc", "host", "host/*",
	}
)

// Top-level folders, without those that start with a dot or are in .gitignore.
var topLevel = []string{"cmd", "host", "config", "wire", "policies", "registry", "samples", "schema", "THIRD_PARTY"}

func TestEveryPackageIsInTheTable(t *testing.T) {
	for _, p := range packages(t) {
		if _, ok := rowOf(p.Path); !ok {
			t.Errorf("package %s has no row in layout_test.go: move its code into a package of the table, "+
				"or add the row and say in one sentence what the package does", p.Path)
		}
	}
}

func TestImportsAreDeclared(t *testing.T) {
	for _, p := range packages(t) {
		r, _ := rowOf(p.Path)
		allowed := slices.Concat(r.ours, r.others)
		if slices.Contains(testPackages, p.Path) {
			allowed = slices.Concat(allowed, testPackages, testLibraries)
		}
		for _, imported := range p.Imports {
			if !declared(imported, allowed) {
				t.Errorf("%s imports %s, which its row in layout_test.go does not declare: do without it, "+
					"or change the architecture there", p.Path, imported)
			}
		}
		allowed = slices.Concat(allowed, r.tests, testPackages, testLibraries, []string{p.Path})
		for _, imported := range p.TestImports {
			if !declared(imported, allowed) {
				t.Errorf("a test of %s imports %s, which its row in layout_test.go does not declare: do without it, "+
					"or add it to the row's tests", p.Path, imported)
			}
		}
	}
}

func TestTheTableHasNoCycle(t *testing.T) {
	var visit func(p string, above []string)
	visit = func(p string, above []string) {
		if slices.Contains(above, p) {
			t.Fatalf("the table lets %s import itself: %s", p, strings.Join(append(above, p), " → "))
		}
		for _, imported := range layout[p].ours {
			if imported == p && strings.HasSuffix(p, "/*") {
				continue // siblings; the compiler rejects cycles
			}
			if _, ok := layout[imported]; !ok {
				t.Errorf("the row of %s names %s, which has no row", p, imported)
			}
			visit(imported, append(slices.Clone(above), p))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(layout)) {
		visit(p, nil)
	}
}

func TestLightPackagesHaveNoHeavyDependencies(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(light, p.Path) {
			continue
		}
		for _, dep := range p.Deps {
			if declared(dep, heavy) {
				t.Errorf("whoever imports %s gets %s with it: follow the imports with `go mod why -vendor %[2]s` and cut one", p.Path, dep)
			}
		}
	}
}

func TestTopLevelFoldersAreFixed(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	ignored := ignoredFolders(t)
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "."), slices.Contains(ignored, name):
		case e.IsDir() && !slices.Contains(topLevel, name):
			t.Errorf("folder %s at the top: everything finds its place inside %s", name, strings.Join(topLevel, ", "))
		case !e.IsDir() && path.Ext(name) == ".go":
			t.Errorf("%s at the top: the root has no package", name)
		case name == "go.work":
			t.Error("go.work: nested modules are built on their own")
		}
	}
}

func rowOf(p string) (row, bool) {
	if r, ok := layout[p]; ok {
		return r, true
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if r, ok := layout[dir+"/*"]; ok {
			return r, true
		}
	}
	return row{}, false
}

// declared reports whether an import is allowed. Packages of this module are listed by path, or by a prefix that ends in
// /*; the path of others includes all packages below it.
func declared(imported string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		above, many := strings.CutSuffix(a, "*")
		if !many && strings.Contains(a, ".") {
			above, many = a+"/", true
		}
		return imported == a || many && strings.HasPrefix(imported, above)
	})
}

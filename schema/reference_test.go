package schema_test

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

//go:generate go test -run TestReferenceIsWhatTheTypesSay . -update

const referenceFile = "../config/REFERENCE.md"

func TestReferenceIsWhatTheTypesSay(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("config/REFERENCE.md is not what the types say: go generate ./schema")
	}
}

// reference describes all fields in Markdown.
func reference() string {
	var b strings.Builder
	b.WriteString(`# Reference of the manifest and the policy files

Generated from the types by ` + "`go generate ./schema`" + `. Reload: **live** changes between two calls, **rolling** opens and closes
services or listeners without losing calls, **restart** takes effect with the next start. Fields marked *later* are
rejected as "not supported yet".
`)
	block := ""
	for _, f := range fields() {
		top := f.path
		if i := strings.IndexAny(top, ".["); i > 0 {
			top = top[:i]
		}
		if top != block {
			block = top
			fmt.Fprintf(&b, "\n## %s\n\n| field | type | default | accepts | reload | |\n|---|---|---|---|---|---|\n", block)
		}
		required, later := "", ""
		if f.required() {
			required = " **required**"
		}
		if f.later {
			later = "*later* "
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s | %s | %s | %s |\n", inCode(f.path), required, f.typeName(), inCode(f.Tag.Get("default")),
			f.accepts(), f.class, later+strings.ReplaceAll(f.doc(), "|", "\\|"))
	}
	b.WriteString(policyTests())
	return b.String()
}

// policyTests describes the files of policy tests.
func policyTests() string {
	var b strings.Builder
	b.WriteString(`
## Policy tests

A file with the key ` + "`cases`" + ` is run by ` + "`easymicro test`" + `, on a virtual clock.

| field | type | default | accepts | |
|---|---|---|---|---|
`)
	for _, f := range fieldsOf("", reflect.TypeFor[config.PolicyTest](), "", false) {
		required := ""
		if f.required() {
			required = " **required**"
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s | %s | %s |\n", inCode(f.path), required, f.typeName(), inCode(f.Tag.Get("default")),
			f.accepts(), strings.ReplaceAll(f.doc(), "|", "\\|"))
	}
	return b.String()
}

// field is one field of the reference.
type field struct {
	reflect.StructField
	path  string // rules[].rateLimit.rate; a token of a tokens file begins with tokens[], one of admin tokens with adminTokens[]
	class config.Class
	later bool // neither it nor what is inside it is supported yet
}

// fields returns the fields of the manifest and of the files that it names, in the order of the types, each before the
// fields inside it. Rules are listed once, as policy files have them.
func fields() []field {
	all := fieldsOf("", reflect.TypeFor[config.Manifest](), "", false)
	all = append(all, fieldsOf("", reflect.TypeFor[config.PolicyFile](), config.Live, false)...)
	all = append(all, fieldsOf("tokens[].", reflect.TypeFor[config.Token](), config.Live, false)...)
	all = append(all, fieldsOf("adminTokens[].", reflect.TypeFor[config.AdminToken](), config.Live, false)...)
	return append(all, fieldsOf("", reflect.TypeFor[config.EndpointsFile](), config.Live, false)...)
}

func fieldsOf(around string, t reflect.Type, class config.Class, later bool) []field {
	var all []field
	for i := range t.NumField() {
		f := field{StructField: t.Field(i), class: class}
		switch {
		case f.Type == reflect.TypeFor[config.TestCodes]():
			f.StructField = f.Type.Field(0) // stands for all
			f.Tag = `min:"0" doc:"Number of calls with this code: OK, RESOURCE_EXHAUSTED and so on."`
			f.path = around + "CODE"
			all = append(all, f)
			continue
		case f.Anonymous:
			all = append(all, fieldsOf(around, f.Type, class, later)...)
			continue
		}
		name, ok := config.FieldName(f.StructField)
		if !ok {
			continue
		}
		f.path, f.later = around+name, later || f.Tag.Get("later") != ""
		if own := f.Tag.Get("reload"); own != "" {
			f.class = config.Class(own)
		}
		all = append(all, f)
		inside, path := f.Type, f.path
		if inside.Kind() == reflect.Slice {
			inside, path = inside.Elem(), path+"[]"
		}
		if inside.Kind() == reflect.Pointer {
			inside = inside.Elem()
		}
		if isBlock(inside) && f.path != "policies.rules" {
			all = append(all, fieldsOf(path+".", inside, f.class, f.later)...)
		}
	}
	return all
}

func isBlock(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isText(t) && t != reflect.TypeFor[config.RawOptions]()
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (f *field) doc() string    { return f.Tag.Get("doc") }
func (f *field) required() bool { return f.Tag.Get("required") == "true" }

func (f *field) typeName() string {
	switch f.Tag.Get("pattern") {
	case "name":
		if f.Type == reflect.TypeFor[config.Patterns]() {
			return "name or list of names"
		}
	case "cidr":
		return "network or list of networks"
	case "proxy":
		return "list of networks and unix"
	}
	return typeName(f.Type)
}

// typeName names a type for readers of YAML.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[config.Patterns]():
		return "glob or list of globs"
	case reflect.TypeFor[config.Claims]():
		return "mapping of globs or lists of globs"
	case reflect.TypeFor[config.Key]():
		return "string or list of strings"
	case reflect.TypeFor[config.Exceptions](), reflect.TypeFor[config.TestSteps](), reflect.TypeFor[config.TestScripts]():
		return "mapping or list of mappings"
	case reflect.TypeFor[config.Duration]():
		return "duration"
	case reflect.TypeFor[config.Bytes]():
		return "size"
	case reflect.TypeFor[config.MemoryLimit]():
		return "auto, off or size"
	case reflect.TypeFor[config.Share]():
		return "ratio"
	case reflect.TypeFor[time.Time]():
		return "time"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem()) + "s"
	case reflect.Map:
		return "mapping of " + typeName(t.Elem()) + "s"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Struct:
		return "mapping"
	case reflect.String:
		return "string"
	}
	return "integer"
}

func (f *field) accepts() string {
	low, high := f.Tag.Get("min"), f.Tag.Get("max")
	switch {
	case f.Tag.Get("enum") != "":
		return f.values()
	case low != "" && high != "":
		return "from " + low + " to " + high
	case low != "":
		return "at least " + low
	case high != "":
		return "at most " + high
	}
	return ""
}

func (f *field) values() string {
	later := strings.Split(f.Tag.Get("laterEnum"), ",")
	var words []string
	for value := range strings.SplitSeq(f.Tag.Get("enum"), ",") {
		switch {
		case value == "": // the same as leaving the key out
		case slices.Contains(later, value):
			words = append(words, inCode(value)+" (later)")
		default:
			words = append(words, inCode(value))
		}
	}
	return strings.Join(words, ", ")
}

func inCode(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func TestEveryFieldHasAReloadClassAndADoc(t *testing.T) {
	all := fields()
	if len(all) < 150 {
		t.Fatalf("%d fields: the walk over the types misses some", len(all))
	}
	seen := map[string]bool{}
	for _, f := range all {
		if f.class != config.Live && f.class != config.Rolling && f.class != config.Restart {
			t.Errorf("%s has the reload class %q", f.path, f.class)
		}
		if !strings.HasSuffix(f.doc(), ".") {
			t.Errorf("%s has the doc %q, which is not a sentence", f.path, f.doc())
		}
		if seen[f.path] {
			t.Errorf("%s is listed twice", f.path)
		}
		seen[f.path] = true
	}
}

func TestReloadClassesAreThoseOfTheSpecification(t *testing.T) {
	classes := map[string]config.Class{}
	for _, f := range fields() {
		classes[f.path] = f.class
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
		"discovery.etcd[].prefix": config.Live, "tokens[].expires": config.Live, "admin.tokens.file": config.Live, "adminTokens[].role": config.Live,
	} {
		if classes[path] != want {
			t.Errorf("%s is %q, want %s", path, classes[path], want)
		}
	}
}

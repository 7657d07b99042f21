package config

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Manifest says what a host is: easymicro.yaml.
type Manifest struct {
	Version   int        `yaml:"version" default:"1" min:"1" max:"1" reload:"live" doc:"Version of this format."`
	Host      Host       `yaml:"host" reload:"live" doc:"Identity of the host, and how it shuts down."`
	Listeners []Listener `yaml:"listeners" reload:"rolling" doc:"Addresses for calls. Default: one listener, main, on 127.0.0.1:8972 for rpcx and http."`
	Auth      Auth       `yaml:"auth" reload:"live" doc:"How callers are identified; rules match on it. Without it every caller is anonymous."`
	Services  []Service  `yaml:"services" reload:"rolling" doc:"Services of this host."`
	Upstreams []Upstream `yaml:"upstreams" reload:"live" doc:"Services that the handlers call."`
	Discovery *Discovery `yaml:"discovery" reload:"live" doc:"How services are published and found."`
	Gateway   Gateway    `yaml:"gateway" reload:"live" doc:"How HTTP callers reach methods, besides the built-in POST /{service}/{method}."`
	Telemetry Telemetry  `yaml:"telemetry" reload:"live" doc:"Logs, metrics and traces."`
	Admin     Admin      `yaml:"admin" reload:"restart" doc:"The listener for operators: status, reload, metrics."`
	Health    Health     `yaml:"health" reload:"rolling" doc:"A listener for kubelets and scrapers: /livez, /readyz and /metrics only, without token."`
	Policies  Policies   `yaml:"policies" reload:"live" doc:"The rules for calls, and their files."`

	at      places
	sources map[string]string // flag or variable, by the path of what it overrides
}

// Position is where the value at path (services[0].handler) stands, or else the nearest known thing around it. What a
// flag or a variable says has its name for a file.
func (m *Manifest) Position(path string) Position {
	if source := m.sources[path]; source != "" {
		return Position{File: source}
	}
	return m.at.position(path)
}

// Written tells that the value at path stands in the file, rather than being a default.
func (m *Manifest) Written(path string) bool { return m.at.written(path) }

// Host says who this host is and how it ends.
type Host struct {
	Name     string            `yaml:"name" pattern:"hostname" reload:"restart" doc:"Name of the host, unique in the fleet. Default: the machine's host name."`
	Labels   map[string]string `yaml:"labels" doc:"Free labels, shown in status."`
	Limits   HostLimits        `yaml:"limits" doc:"Limits for all callers together, over all listeners and protocols. A caller that floods the host gets only a part; as much stays free for the others."`
	Shutdown Shutdown          `yaml:"shutdown" doc:"How the host drains after SIGTERM."`
	State    *State            `yaml:"state" later:"true" doc:"Where the last good set and the history are kept. Default: in memory only."`
}

// HostLimits bounds what a host takes in, over all its listeners.
type HostLimits struct {
	MaxInFlight      int   `yaml:"maxInFlight" default:"20000" min:"1" max:"10000000" doc:"Calls in flight, HTTP/2 streams and one-way calls over HTTP included. Further calls are refused as overloaded."`
	MaxBufferedBytes Bytes `yaml:"maxBufferedBytes" min:"1MiB" max:"1TiB" doc:"Memory for partly read frames, unanswered calls, what decoding them allocates, and answers that peers have not read. Default: a quarter of the memory of the control group, or of the machine."`
}

// Shutdown says how a host drains.
type Shutdown struct {
	DrainDelay  *Duration `yaml:"drainDelay" min:"0s" max:"1h" doc:"How long the host keeps serving, not ready, before it stops accepting. Default: 0s; 5s when it publishes itself or has a health listener."`
	GracePeriod Duration  `yaml:"gracePeriod" default:"30s" min:"0s" max:"24h" doc:"How long calls in flight may take after the signal; includes drainDelay. 0s: they are cancelled at once."`
}

// State says where a host keeps what outlives it.
type State struct {
	Dir     string `yaml:"dir" required:"true" reload:"restart" doc:"Directory of the state."`
	History int    `yaml:"history" default:"50" min:"1" max:"10000" doc:"How many revisions are kept."`
}

// NamedFile is a file that a field of the manifest names.
type NamedFile struct {
	Field string // upstreams[0].tls.keyFile
	Path  string // as written
	Most  int64  // bytes that it may have
}

// NamedFiles are the files whose Contents belong to the set, by the first field that names each.
func (m *Manifest) NamedFiles() []NamedFile {
	var list []NamedFile
	seen := map[string]bool{"": true}
	add := func(field, path string, most int64) {
		if !seen[path] {
			seen[path] = true
			list = append(list, NamedFile{Field: field, Path: path, Most: most})
		}
	}
	add("admin.tokenFile", m.Admin.TokenFile, MaxSecretBytes)
	certificates := func(field string, t *ClientTLS) {
		if t != nil {
			add(field+".caFile", t.CAFile, MaxFileBytes)
			add(field+".certFile", t.CertFile, MaxFileBytes)
			add(field+".keyFile", t.KeyFile, MaxFileBytes)
		}
	}
	for i := range m.Upstreams {
		certificates(fmt.Sprintf("upstreams[%d].tls", i), m.Upstreams[i].TLS)
	}
	if m.Discovery == nil {
		return list
	}
	for i := range m.Discovery.Etcd {
		e, field := &m.Discovery.Etcd[i], fmt.Sprintf("discovery.etcd[%d]", i)
		certificates(field+".tls", e.TLS)
		add(field+".usernameFile", e.UsernameFile, MaxSecretBytes)
		add(field+".passwordFile", e.PasswordFile, MaxSecretBytes)
	}
	return list
}

// complete fills in the defaults that no tag can say.
func (m *Manifest) complete() {
	if len(m.Listeners) > 0 {
		return
	}
	main := Listener{Name: "main", Address: "127.0.0.1:8972"}
	structTypes{}.setDefaults(reflect.ValueOf(&main).Elem())
	m.Listeners = []Listener{main}
}

// Override sets one scalar of the manifest to what a flag or a variable says. source (--listen, EASYMICRO_LISTEN) is
// what problems and positions name from then on.
func (m *Manifest) Override(path, text, source string) Problems {
	v, f := structTypes{}.below(reflect.ValueOf(m).Elem(), path)
	if f == nil {
		return Problems{{File: source, Path: path, Message: "there is no such field"}}
	}
	next := reflect.New(v.Type()).Elem()
	message := setText(next, text)
	suggestion := ""
	if message == "" {
		message, suggestion = check(next, f)
	}
	if address, ok := next.Interface().(Address); ok && message == "" && address != "" {
		if _, _, err := address.Split(); err != nil {
			message = err.Error()
		}
	}
	if message != "" {
		return Problems{{File: source, Path: path, Message: message, Suggestion: suggestion}}
	}
	v.Set(next)
	if m.sources == nil {
		m.sources = map[string]string{}
	}
	m.sources[path] = source
	return nil
}

// serviceNames are the names that services are served under.
func (m *Manifest) serviceNames() []string {
	var all []string
	for _, s := range m.Services {
		all = append(append(all, s.Name), s.Aliases...)
	}
	return all
}

// PublishedListener is the listener whose address is published when nothing else is said: the first for rpcx over TCP.
func (m *Manifest) PublishedListener() *Listener {
	for i := range m.Listeners {
		l := &m.Listeners[i]
		if network, _, err := l.Address.Split(); err == nil && network == "tcp" && slices.Contains(l.Protocols, "rpcx") {
			return l
		}
	}
	return nil
}

// Registers tells whether some discovery publishes this host.
func (m *Manifest) Registers() bool {
	return m.Discovery != nil && slices.ContainsFunc(m.Discovery.Etcd, func(e Etcd) bool { return e.Register != nil })
}

// IsPublished tells whether a service of the manifest is published.
func (m *Manifest) IsPublished(s *Service) bool {
	return m.Registers() && (s.Publish == nil || *s.Publish)
}

// usedUpstreams are the upstreams that services use. They are not known when a service uses one that is none: it may be
// any, misspelt.
func (m *Manifest) usedUpstreams() (used map[string]bool, known bool) {
	used = map[string]bool{}
	names := m.UpstreamNames()
	for i := range m.Services {
		for _, upstream := range m.Services[i].Uses {
			if !slices.Contains(names, upstream) {
				return nil, false
			}
			used[upstream] = true
		}
	}
	return used, true
}

// UpstreamNames are the names of the upstreams.
func (m *Manifest) UpstreamNames() []string {
	all := make([]string, 0, len(m.Upstreams))
	for i := range m.Upstreams {
		all = append(all, m.Upstreams[i].Name)
	}
	return all
}

// Service is one service of a host.
type Service struct {
	Name      string            `yaml:"name" required:"true" pattern:"service" doc:"Name on the wire."`
	Aliases   []string          `yaml:"aliases" pattern:"service" reload:"live" doc:"Other names of the service; rules and metrics use the main name."`
	Handler   string            `yaml:"handler" required:"true" pattern:"handler" doc:"Name of the handler in the registry of the binary."`
	Methods   Methods           `yaml:"methods" reload:"live" doc:"Which methods are served."`
	Options   RawOptions        `yaml:"options" reload:"live" doc:"Options of the handler, decoded strictly into its own type."`
	Uses      map[string]string `yaml:"uses" reload:"live" doc:"Upstream for each client that the handler asks for."`
	Publish   *bool             `yaml:"publish" reload:"live" doc:"Publish it, and its aliases, to discovery. Default: true when a discovery has register."`
	Metadata  map[string]string `yaml:"metadata" reload:"live" doc:"Published to discovery with the service: weight, group and anything else its callers read."`
	AccessLog bool              `yaml:"accessLog" default:"false" reload:"live" doc:"Log each call."`
}

// Methods says which methods of a service are served.
type Methods struct {
	Expose []string `yaml:"expose" pattern:"method" doc:"Methods that are served. Default: all."`
}

// RawOptions are the options of a handler as they stand in the manifest, to be decoded when its type is known.
type RawOptions struct {
	node *yaml.Node
	file string
	path string
}

// IsZero tells that no options are written.
func (o RawOptions) IsZero() bool { return o.node == nil }

// Decode decodes the options strictly into what into points to: a struct with the handler's defaults, whose fields keep
// their value where nothing is written. Keys are as FieldName has them; the tags min, max, enum and required count.
// Problems never repeat a value, which may be a secret.
func (o RawOptions) Decode(into any) Problems {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return Problems{{File: o.file, Path: o.path, Message: fmt.Sprintf("options cannot be decoded into a %T", into)}}
	}
	if o.node == nil {
		return nil
	}
	d := o.decoder()
	d.value(o.node, v.Elem(), &field{}, "")
	return d.problems.Sort()
}

func (o RawOptions) decoder() *decoder {
	d := newDecoder(o.file, nil)
	d.scope, d.suggest.quiet, d.prefill = o.path, true, true
	return d
}

// Position is where the options stand.
func (o RawOptions) Position() Position {
	if o.node == nil {
		return Position{File: o.file}
	}
	return Position{File: o.file, Line: o.node.Line, Column: o.node.Column}
}

// Equal tells that both say the same, whatever their order and spelling.
func (o RawOptions) Equal(other RawOptions) bool { return reflect.DeepEqual(o.plain(), other.plain()) }

// plain is the options as maps, lists and words.
func (o RawOptions) plain() any {
	if o.node == nil {
		return nil
	}
	var plain any
	o.decoder().value(o.node, reflect.ValueOf(&plain).Elem(), &field{}, "")
	return plain
}

func optionsOf(v reflect.Value) RawOptions {
	o, _ := v.Interface().(RawOptions)
	return o
}

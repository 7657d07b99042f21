package config

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Manifest describes a host: easymicro.yaml.
type Manifest struct {
	Version   int        `yaml:"version" default:"1" min:"1" max:"1" reload:"live" effect:"neutral" doc:"Version of this format."`
	Host      Host       `yaml:"host" reload:"live" doc:"Identity of the host, and how it shuts down."`
	Listeners []Listener `yaml:"listeners" reload:"rolling" doc:"Addresses for calls. Default: one listener, main, on 127.0.0.1:8972 for rpcx and http."`
	Auth      Auth       `yaml:"auth" reload:"live" doc:"How callers are identified; rules match on it. Without it every caller is anonymous."`
	Services  []Service  `yaml:"services" reload:"rolling" doc:"Services of this host."`
	Around    []Around   `yaml:"around" reload:"live" doc:"Interceptors that run around the calls of all services, in this order, before those of the service: names, or {name, options}."`
	Upstreams []Upstream `yaml:"upstreams" reload:"live" doc:"Services that the handlers call."`
	Discovery *Discovery `yaml:"discovery" reload:"live" doc:"How services are published and found."`
	Gateway   Gateway    `yaml:"gateway" reload:"live" doc:"How HTTP callers reach methods, besides the built-in POST /{service}/{method}."`
	Telemetry Telemetry  `yaml:"telemetry" reload:"live" effect:"neutral" doc:"Logs, metrics and traces."`
	Admin     Admin      `yaml:"admin" reload:"restart" doc:"The listener for operators: status, reload, metrics."`
	Health    Health     `yaml:"health" reload:"rolling" doc:"A listener for kubelets and scrapers: /livez, /readyz and /metrics only, without a token."`
	Policies  Policies   `yaml:"policies" reload:"live" doc:"The rules for calls, and their files."`

	at      positions
	sources map[string]string // overriding flags and variables, by path
}

// Position returns where the value at path (services[0].handler) is, or else its nearest known parent. For a value
// set by a flag or a variable the file is its name.
func (m *Manifest) Position(path string) Position {
	if source := m.sources[path]; source != "" {
		return Position{File: source}
	}
	return m.at.position(path)
}

// Written reports whether the value at path is in the file, and not a default.
func (m *Manifest) Written(path string) bool { return m.at.written(path) }

// Host configures the identity of a host and how it shuts down.
type Host struct {
	Name     string            `yaml:"name" pattern:"hostname" reload:"restart" doc:"Name of the host, unique in the fleet. Default: the machine's host name."`
	Labels   map[string]string `yaml:"labels" effect:"neutral" doc:"Free labels, shown in status."`
	Limits   HostLimits        `yaml:"limits" doc:"Limits for all callers together, over all listeners and protocols. A caller that floods the host gets only a part; as much stays free for the others."`
	Memory   HostMemory        `yaml:"memory" doc:"How much memory the garbage collector lets the process have: GOGC and GOMEMLIMIT, which win when they are set in the environment."`
	Shutdown Shutdown          `yaml:"shutdown" doc:"How the host drains after SIGTERM."`
	State    *State            `yaml:"state" reload:"restart" doc:"Where the history, with the texts of the files, and the last good sets are kept over restarts. Default: in memory only."`
}

// HostLimits bounds a host over all its listeners.
type HostLimits struct {
	MaxInFlight      int   `yaml:"maxInFlight" default:"20000" min:"1" max:"10000000" effect:"more" doc:"Calls in flight, HTTP/2 streams and one-way calls over HTTP included. Further calls are refused as overloaded."`
	MaxBufferedBytes Bytes `yaml:"maxBufferedBytes" min:"1MiB" max:"1TiB" doc:"Memory for partly read frames, unanswered calls, what decoding them allocates, and answers that peers have not read. Default: a quarter of the memory of the control group, or of the machine."`
}

// HostMemory configures the garbage collector of the process.
type HostMemory struct {
	MinHeap *Bytes      `yaml:"minHeap" min:"0B" max:"1TiB" doc:"Size up to which the heap grows before it is collected, at most 16 times what is live. A small heap is collected less often, which costs resident memory. 0: as GOGC=100. No effect if GOGC is set. Default: 64MiB, or an eighth of the memory of the control group or the machine if that is less."`
	Limit   MemoryLimit `yaml:"limit" default:"auto" doc:"Soft memory limit, as GOMEMLIMIT: a size from 1MiB to 1TiB. auto: 90% of the memory limit of the control group, if it has one. off: none. No effect if GOMEMLIMIT is set."`
}

// Shutdown configures how a host drains.
type Shutdown struct {
	DrainDelay  *Duration `yaml:"drainDelay" min:"0s" max:"1h" doc:"How long the host keeps serving after it reports not ready, before it stops accepting connections. Default: 0s; 5s when it publishes itself or has a health listener."`
	GracePeriod Duration  `yaml:"gracePeriod" default:"25s" min:"0s" max:"24h" doc:"How long calls in flight may take after the signal; includes drainDelay. Kubernetes kills after 30 s by default. 0s: they are cancelled at once."`
}

// State configures where a host keeps its state.
type State struct {
	Dir     string `yaml:"dir" required:"true" doc:"Directory for the state, one for each host. It is created if it is missing, readable by its owner only. It holds the texts of the manifest, the policy files and the token file, never those of keys and passwords."`
	History int    `yaml:"history" default:"50" min:"1" max:"10000" reload:"live" doc:"How many attempts to change the configuration are kept, rejected ones included."`
}

// OnBadStartLastGood is the value of policies.onBadStart for a start from the last good set.
const OnBadStartLastGood = "lastGood"

// NamedFile is a file named by a field of the manifest.
type NamedFile struct {
	Field string // upstreams[0].tls.keyFile
	Path  string // as written
	Limit int64  // maximum size in bytes
}

// NamedFiles returns the files of Contents, each with the first field that names it.
func (m *Manifest) NamedFiles() []NamedFile {
	var list []NamedFile
	seen := map[string]bool{"": true}
	add := func(field, path string, limit int64) {
		if !seen[path] {
			seen[path] = true
			list = append(list, NamedFile{Field: field, Path: path, Limit: limit})
		}
	}
	add("admin.tokenFile", m.Admin.TokenFile, MaxSecretBytes)
	if t := m.Admin.Tokens; t != nil {
		add(adminTokensField, t.File, MaxFileBytes)
	}
	if j := m.Auth.JWT; j != nil {
		add("auth.jwt.jwksFile", j.JWKSFile, MaxFileBytes)
	}
	for _, t := range m.ServerTLS() {
		add(t.Path+".certFile", t.CertFile, MaxFileBytes)
		add(t.Path+".keyFile", t.KeyFile, MaxFileBytes)
		add(t.Path+".clientCAFile", t.ClientCAFile, MaxFileBytes)
	}
	for _, t := range m.OutgoingTLS() {
		add(t.Path+".caFile", t.CAFile, MaxFileBytes)
		add(t.Path+".certFile", t.CertFile, MaxFileBytes)
		add(t.Path+".keyFile", t.KeyFile, MaxFileBytes)
	}
	for i, e := range m.Clusters() {
		field := fmt.Sprintf("discovery.etcd[%d]", i)
		add(field+".usernameFile", e.UsernameFile, MaxSecretBytes)
		add(field+".passwordFile", e.PasswordFile, MaxSecretBytes)
	}
	return list
}

// ServerTLS is the TLS of a listener of any kind.
type ServerTLS struct {
	*TLS
	Listener  string   // its name, AdminListener or HealthListener
	Path      string   // listeners[0].tls
	Protocols []string // rpcx, http
}

// ServerTLS returns the TLS of the listeners that use it, those for admin and health included.
func (m *Manifest) ServerTLS() []ServerTLS {
	var list []ServerTLS
	for i := range m.Listeners {
		if l := &m.Listeners[i]; l.TLS != nil {
			list = append(list, ServerTLS{l.TLS, l.Name, fmt.Sprintf("listeners[%d].tls", i), l.Protocols})
		}
	}
	if t := m.Admin.TLS; t != nil { // the listener runs on until the restart if the address is gone
		list = append(list, ServerTLS{t, AdminListener, "admin.tls", []string{"http"}})
	}
	if t := m.Health.TLS; t != nil {
		list = append(list, ServerTLS{t, HealthListener, "health.tls", []string{"http"}})
	}
	return list
}

// OutgoingTLS is the TLS of calls to an upstream, to an etcd cluster, to the hosts behind the gateway or to the issuer of tokens.
type OutgoingTLS struct {
	*ClientTLS
	Path string // upstreams[0].tls
}

// OutgoingTLS returns the TLS of outgoing connections, where it is used.
func (m *Manifest) OutgoingTLS() []OutgoingTLS {
	var list []OutgoingTLS
	add := func(path string, t *ClientTLS) {
		if t != nil {
			list = append(list, OutgoingTLS{t, path})
		}
	}
	for i := range m.Upstreams {
		add(fmt.Sprintf("upstreams[%d].tls", i), m.Upstreams[i].TLS)
	}
	for i, e := range m.Clusters() {
		add(fmt.Sprintf("discovery.etcd[%d].tls", i), e.TLS)
	}
	if r := m.Gateway.Remote; r != nil {
		add("gateway.remote.tls", r.TLS)
	}
	if j := m.Auth.JWT; j != nil {
		add("auth.jwt.tls", j.TLS)
	}
	return list
}

// complete fills in the defaults that tags cannot express.
func (m *Manifest) complete() {
	if len(m.Listeners) > 0 {
		return
	}
	main := Listener{Name: "main", Address: "127.0.0.1:8972"}
	structTypes{}.setDefaults(reflect.ValueOf(&main).Elem())
	m.Listeners = []Listener{main}
}

// Override sets a scalar of the manifest to the text of a flag or a variable. From then on problems and positions
// name source (--listen, EASYMICRO_LISTEN).
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
		if _, _, err := address.Listen(); err != nil {
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

// serviceNames returns the names and aliases of the services.
func (m *Manifest) serviceNames() []string {
	var all []string
	for _, s := range m.Services {
		all = append(append(all, s.Name), s.Aliases...)
	}
	return all
}

// PublishedListener returns the listener whose address is published by default: the first for rpcx over TCP.
func (m *Manifest) PublishedListener() *Listener {
	for i := range m.Listeners {
		l := &m.Listeners[i]
		if network, _, err := l.Address.Split(); err == nil && network == "tcp" && slices.Contains(l.Protocols, "rpcx") {
			return l
		}
	}
	return nil
}

// Clusters returns the clusters of etcd.
func (m *Manifest) Clusters() []Etcd {
	if m.Discovery == nil {
		return nil
	}
	return m.Discovery.Etcd
}

// Registers reports whether a cluster of etcd publishes this host.
func (m *Manifest) Registers() bool {
	return slices.ContainsFunc(m.Clusters(), func(e Etcd) bool { return e.Register != nil })
}

// IsPublished reports whether a service of the manifest is published.
func (m *Manifest) IsPublished(s *Service) bool {
	return m.Registers() && (s.Publish == nil || *s.Publish)
}

// AroundPlaces returns the lists of interceptors: that for all services, and those of services and upstreams.
func (m *Manifest) AroundPlaces() []AroundPlace {
	list := []AroundPlace{{Path: "around", List: m.Around}}
	for i := range m.Services {
		list = append(list, AroundPlace{fmt.Sprintf("services[%d].around", i), m.Services[i].Name, "", m.Services[i].Around})
	}
	for i := range m.Upstreams {
		list = append(list, AroundPlace{fmt.Sprintf("upstreams[%d].around", i), "", m.Upstreams[i].Name, m.Upstreams[i].Around})
	}
	return list
}

// usedUpstreams returns the upstreams that services use. It returns false if a service uses an unknown one, which
// may be a misspelling of any.
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

// UpstreamNames returns the names of the upstreams.
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
	Aliases   []string          `yaml:"aliases" pattern:"service" reload:"live" effect:"more" doc:"Other names of the service; rules and metrics use the main name."`
	Handler   string            `yaml:"handler" required:"true" pattern:"handler" doc:"Name of the handler in the registry of the binary."`
	Methods   Methods           `yaml:"methods" reload:"live" doc:"Which methods are served."`
	Options   RawOptions        `yaml:"options" reload:"live" doc:"Options of the handler, decoded strictly into its own type."`
	Uses      map[string]string `yaml:"uses" reload:"live" doc:"Upstream for each client that the handler uses."`
	Publish   *bool             `yaml:"publish" reload:"live" doc:"Publish it, and its aliases, to discovery. Default: true when a discovery has register."`
	Metadata  map[string]string `yaml:"metadata" reload:"live" effect:"neutral" doc:"Published to discovery with the service: weight, group and anything else its callers read."`
	Around    []Around          `yaml:"around" reload:"live" doc:"Interceptors that run around the calls of the service, in this order, after those for all services: names, or {name, options}."`
	AccessLog bool              `yaml:"accessLog" default:"false" reload:"live" effect:"neutral" doc:"Log each call."`
}

// Methods selects the methods of a service that are served.
type Methods struct {
	Expose []string `yaml:"expose" pattern:"method" effect:"more,none" doc:"Methods that are served. Default: all."`
}

// RawOptions holds the options of a handler until its type is known.
type RawOptions struct {
	node *yaml.Node
	file string
	path string
}

// IsZero reports whether no options are written.
func (o RawOptions) IsZero() bool { return o.node == nil }

// Decode strictly decodes the options into *into: a struct with the defaults of the handler, whose fields keep their
// value if they are not written. Keys are those of FieldName; the tags min, max, enum and required apply. Problems
// never contain a value, which may be a secret.
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

// Position returns where the options are.
func (o RawOptions) Position() Position {
	if o.node == nil {
		return Position{File: o.file}
	}
	return Position{File: o.file, Line: o.node.Line, Column: o.node.Column}
}

// At returns where the option at a path is, or else its nearest known parent.
func (o RawOptions) At(path string) Position {
	if o.node == nil {
		return o.Position()
	}
	d := o.decoder()
	d.mark(o.node, "")
	var plain any
	d.value(o.node, reflect.ValueOf(&plain).Elem(), &field{}, "")
	at := d.finish()
	return at.position(path)
}

// Equal reports whether both are equal, whatever their order and spelling.
func (o RawOptions) Equal(other RawOptions) bool { return reflect.DeepEqual(o.plain(), other.plain()) }

// plain returns the options as maps, lists and scalars.
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

package config

// Manifest says what a host is: easymicro.yaml.
type Manifest struct {
	Version   int        `yaml:"version" default:"1" min:"1" max:"1" reload:"live" doc:"Version of this format."`
	Host      Host       `yaml:"host" reload:"live" doc:"Who this host is and how it ends."`
	Listeners []Listener `yaml:"listeners" reload:"rolling" doc:"Where it listens. Default: one listener, main, on 127.0.0.1:8972 for rpcx and http."`
	Auth      Auth       `yaml:"auth" reload:"live" doc:"Who a caller is; rules match on it. Without it every caller is anonymous."`
	Services  []Service  `yaml:"services" reload:"rolling" doc:"What is served."`
	Upstreams []Upstream `yaml:"upstreams" reload:"live" doc:"Services that the handlers call."`
	Discovery *Discovery `yaml:"discovery" reload:"live" doc:"How services are published and found."`
	Gateway   Gateway    `yaml:"gateway" reload:"live" doc:"How HTTP callers reach methods, besides the built-in POST /{service}/{method}."`
	Telemetry Telemetry  `yaml:"telemetry" reload:"live" doc:"Logs, metrics and traces."`
	Admin     Admin      `yaml:"admin" reload:"restart" doc:"The listener of the operators: status, reload, metrics."`
	Health    Health     `yaml:"health" reload:"rolling" doc:"A listener for kubelets and scrapers: /livez, /readyz and /metrics only, without token."`
	Policies  Policies   `yaml:"policies" reload:"live" doc:"The rules for calls and where they stand."`

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
	Limits   HostLimits        `yaml:"limits" doc:"What all callers together may take, whatever the listener and the protocol. Whoever floods the host gets a part of it, and the others find as much free."`
	Shutdown Shutdown          `yaml:"shutdown" doc:"How the host drains after SIGTERM."`
	State    *State            `yaml:"state" later:"true" doc:"Where the last good set and the history are kept. Default: in memory only."`
}

// HostLimits bounds what a host takes in, over all its listeners.
type HostLimits struct {
	MaxInFlight      int   `yaml:"maxInFlight" default:"20000" min:"1" max:"10000000" doc:"Calls that were read and have not ended, HTTP/2 streams and one-way calls over HTTP among them. Calls beyond are refused as overloaded."`
	MaxBufferedBytes Bytes `yaml:"maxBufferedBytes" min:"1MiB" max:"1TiB" doc:"Memory for frames that are half read, calls that are not answered, what their decoding allocates, and answers that their peers have not taken. Default: a quarter of the memory there is, which is what the control group allows, or else the machine has."`
}

// Shutdown says how a host drains.
type Shutdown struct {
	DrainDelay  *Duration `yaml:"drainDelay" min:"0s" max:"1h" doc:"How long it goes on serving, not ready, before it stops accepting. Default: 0s; 5s when it publishes itself or has a health listener."`
	GracePeriod Duration  `yaml:"gracePeriod" default:"30s" min:"0s" max:"24h" doc:"How long calls in flight may take, from the signal on; includes drainDelay. 0s: they are cut at once."`
}

// State says where a host keeps what outlives it.
type State struct {
	Dir     string `yaml:"dir" required:"true" reload:"restart" doc:"Folder of the state."`
	History int    `yaml:"history" default:"50" min:"1" max:"10000" doc:"How many revisions are kept."`
}

// Gateway says how HTTP callers reach methods.
type Gateway struct {
	Routes []Route       `yaml:"routes" doc:"Paths of their own for methods."`
	Get    []string      `yaml:"get" doc:"Methods (Service.Method) that may be called by GET. Default: none."`
	Remote *Remote       `yaml:"remote" doc:"Routes to services that discovery knows. Default: none."`
	Errors GatewayErrors `yaml:"errors" doc:"What errors tell."`
	CORS   CORS          `yaml:"cors" doc:"Which web pages of other origins may call."`

	Metadata map[string]string `yaml:"metadata" doc:"HTTP headers that become metadata of a call: metadata name: header, as x-tenant: X-Tenant. Rules may then key on metadata.x-tenant. Names that say who calls and headers of the connection are refused. Default: none; Traceparent, Tracestate and Baggage always do."`

	Hosts []string `yaml:"hosts" pattern:"hostname" doc:"Further names (orders.example, without port) in the Host header that listeners on loopback answer to, besides localhost and IP addresses; 403 for others: a page whose name an attacker's DNS turned to 127.0.0.1 would otherwise reach them through its visitors' browsers. Peers in auth.trustedProxies may send any, and a listener on other addresses, or on all, answers to any name, over loopback too. Default: none."`

	UnknownFields string `yaml:"unknownFields" default:"ignore" enum:"ignore,reject" doc:"What becomes of members of JSON bodies, nested ones too, and of query parameters that the argument does not have. ignore: callers may be newer than hosts. reject: 400, with the name that was probably meant. Arguments that are maps, or decode themselves, have no unknown members; payloads for services of other hosts pass undecoded."`
}

// UnknownReject is the value of Gateway.UnknownFields that refuses what is not known.
const UnknownReject = "reject"

// Route is an HTTP path of its own for one method.
type Route struct {
	Path    string   `yaml:"path" required:"true" doc:"Path, as net/http has patterns: /v1/mul, /v1/orders/{id}."`
	Methods []string `yaml:"methods" default:"POST" enum:"GET,POST,PUT,PATCH,DELETE" doc:"HTTP methods."`
	Service string   `yaml:"service" required:"true" doc:"Service that is called."`
	Method  string   `yaml:"method" required:"true" doc:"Method that is called."`
}

// Remote lets a gateway reach services of other hosts.
type Remote struct {
	Etcd     string   `yaml:"etcd" required:"true" pattern:"name" doc:"Name of the discovery."`
	Services []string `yaml:"services" required:"true" pattern:"glob" doc:"Services that may be reached; globs."`
}

// GatewayErrors says what errors tell HTTP callers.
type GatewayErrors struct {
	ExposeInternal bool `yaml:"exposeInternal" default:"false" doc:"Show callers what a handler panicked with, over HTTP and rpcx. The text of ordinary errors always reaches them."`
}

// CORS says which web pages of other origins may call.
type CORS struct {
	AllowOrigins []string `yaml:"allowOrigins" doc:"Origins (https://app.example) that may call from a browser, or *. Default: none."`
}

// Telemetry is what a host tells about itself.
type Telemetry struct {
	Logs    Logs    `yaml:"logs" doc:"The log on stderr."`
	Metrics Metrics `yaml:"metrics" doc:"Prometheus metrics on the admin and health listeners."`
	Traces  Traces  `yaml:"traces" doc:"OpenTelemetry traces."`
}

// Logs says what is logged and how.
type Logs struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"The least level that is logged."`
	Format string `yaml:"format" default:"auto" enum:"auto,text,json" doc:"auto: text on a terminal, JSON elsewhere."`
}

// Metrics says where the metrics are.
type Metrics struct {
	Path string `yaml:"path" default:"/metrics" pattern:"path" doc:"Path of the metrics."`
}

// Traces says where traces go.
type Traces struct {
	OTLPEndpoint string `yaml:"otlpEndpoint" doc:"Collector that takes OpenTelemetry traces: http://host:4318 (OTLP/HTTP; a path of its own may follow), grpc://host:4317 (OTLP/gRPC), https:// and grpcs:// with TLS. Default: none, no traces."`
	SampleRatio  Share  `yaml:"sampleRatio" default:"0.05" doc:"Share of the calls that is traced, of those that come without a trace; the others follow their caller. 0: none of them."`
}

// Admin is the listener of the operators.
type Admin struct {
	Address   Address `yaml:"address" default:"127.0.0.1:8970" doc:"Where it listens; unix:// too. Off: an empty string. Beyond loopback it needs tokenFile."`
	TokenFile string  `yaml:"tokenFile" reload:"live" doc:"File with the bearer token of the operators; read again when it changes."`
	Console   bool    `yaml:"console" default:"false" reload:"live" later:"true" doc:"Serve the web console."`
	PProf     bool    `yaml:"pprof" default:"false" doc:"Serve /debug/pprof."`
}

// Health is the listener of kubelets and scrapers.
type Health struct {
	Address Address `yaml:"address" doc:"Where it listens. Default: off."`
}

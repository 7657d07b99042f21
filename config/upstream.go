package config

// Upstream is a service that handlers call.
type Upstream struct {
	Name         string       `yaml:"name" required:"true" pattern:"name" doc:"Name that services[].uses refers to."`
	Service      string       `yaml:"service" required:"true" pattern:"service" doc:"Name of the service on the wire."`
	Resolve      Resolve      `yaml:"resolve" required:"true" doc:"Where its endpoints are found."`
	Group        string       `yaml:"group" doc:"Only endpoints whose metadata has this group."`
	LoadBalancer LoadBalancer `yaml:"loadBalancer" doc:"How an endpoint is chosen."`
	Connection   Connection   `yaml:"connection" doc:"Connections to an endpoint."`
	Idempotent   []string     `yaml:"idempotent" pattern:"glob" doc:"Methods that retry and hedge may send twice; globs."`
	Codec        string       `yaml:"codec" default:"msgpack" enum:"raw,json,protobuf,msgpack,thrift" doc:"Codec of the payloads."`
	Compression  *Compression `yaml:"compression" doc:"Compression of the payloads. Default: none."`
	Compat       string       `yaml:"compat" enum:",easymicro2019" doc:"easymicro2019: lower-case names on the wire."`
	TLS          *ClientTLS   `yaml:"tls" doc:"Certificates towards the endpoints."`
}

// Resolve says where endpoints are found: one of its fields.
type Resolve struct {
	Etcd      string    `yaml:"etcd" doc:"Name of a discovery."`
	Endpoints []Address `yaml:"endpoints" doc:"The endpoints themselves: tcp://host:port, host:port or unix://path."`
	DNS       string    `yaml:"dns" doc:"host:port whose addresses are the endpoints, or the name of SRV records: _rpcx._tcp.billing.internal, srv://billing.internal."`
	File      string    `yaml:"file" doc:"YAML file with a list of endpoints; followed while the host runs."`
}

// LoadBalancer says how an endpoint is chosen.
type LoadBalancer struct {
	Policy string `yaml:"policy" default:"p2c" enum:"roundRobin,weightedRoundRobin,random,leastRequest,p2c,consistentHash" doc:"How an endpoint is chosen."`
	HashOn string `yaml:"hashOn" pattern:"hashOn" doc:"What consistentHash hashes: metadata.NAME or argument.FIELD."`
}

// Connection says how an endpoint is connected to.
type Connection struct {
	ConnectTimeout    Duration `yaml:"connectTimeout" default:"1s" min:"1ms" max:"1h" doc:"How long connecting may take."`
	KeepaliveInterval Duration `yaml:"keepaliveInterval" default:"10s" min:"100ms" max:"1h" doc:"How often a silent connection is asked."`
	KeepaliveTimeout  Duration `yaml:"keepaliveTimeout" default:"3s" min:"10ms" max:"1h" doc:"How long the answer may take."`
	PoolSize          int      `yaml:"poolSize" default:"1" min:"1" max:"1000" doc:"Connections to one endpoint. Calls of 256 KiB and more, and those of methods with replies as long, have one more of their own, so that small calls do not wait behind them."`
}

// Compression says how payloads are compressed.
type Compression struct {
	Type     string `yaml:"type" required:"true" enum:"gzip,zstd" doc:"Algorithm."`
	MinBytes Bytes  `yaml:"minBytes" default:"1KiB" min:"0B" max:"1GiB" doc:"Payloads below it go as they are. 0B: none does."`
}

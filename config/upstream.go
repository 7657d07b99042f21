package config

// Upstream is a service that handlers call.
type Upstream struct {
	Name         string       `yaml:"name" required:"true" pattern:"name" doc:"Name that services[].uses refers to."`
	Service      string       `yaml:"service" required:"true" pattern:"service" doc:"Name of the service on the wire."`
	Resolve      Resolve      `yaml:"resolve" required:"true" doc:"Where its endpoints are found."`
	Group        string       `yaml:"group" doc:"Only endpoints whose metadata has this group."`
	LoadBalancer LoadBalancer `yaml:"loadBalancer" doc:"How an endpoint is chosen."`
	Connection   Connection   `yaml:"connection" doc:"Connections to an endpoint."`
	Idempotent   []string     `yaml:"idempotent" doc:"Methods that retry and hedge may send twice; globs."`
	Codec        string       `yaml:"codec" default:"msgpack" enum:"raw,json,protobuf,msgpack,thrift" doc:"Codec of the payloads."`
	Compression  *Compression `yaml:"compression" doc:"Compression of the payloads. Default: none."`
	Compat       string       `yaml:"compat" enum:",easymicro2019" doc:"easymicro2019: lower-case names on the wire."`
	TLS          *ClientTLS   `yaml:"tls" doc:"Certificates towards the endpoints."`
}

// Resolve says where endpoints are found: one of its fields.
type Resolve struct {
	Etcd      string   `yaml:"etcd" doc:"Name of a discovery."`
	Endpoints []string `yaml:"endpoints" doc:"The endpoints themselves."`
	DNS       string   `yaml:"dns" doc:"host:port whose addresses are the endpoints."`
	File      string   `yaml:"file" doc:"File with a list of endpoints."`
}

// LoadBalancer says how an endpoint is chosen.
type LoadBalancer struct {
	Policy string `yaml:"policy" default:"p2c" enum:"roundRobin,weightedRoundRobin,random,leastRequest,p2c,consistentHash" doc:"How an endpoint is chosen."`
	HashOn string `yaml:"hashOn" doc:"What consistentHash hashes: metadata.NAME or argument.FIELD."`
}

// Connection says how an endpoint is connected to.
type Connection struct {
	ConnectTimeout    Duration `yaml:"connectTimeout" default:"1s" min:"1ms" doc:"How long connecting may take."`
	KeepaliveInterval Duration `yaml:"keepaliveInterval" default:"10s" min:"100ms" doc:"How often a silent connection is asked."`
	KeepaliveTimeout  Duration `yaml:"keepaliveTimeout" default:"3s" min:"10ms" doc:"How long the answer may take."`
	PoolSize          int      `yaml:"poolSize" default:"1" min:"1" max:"1000" doc:"Connections to one endpoint."`
}

// Compression says how payloads are compressed.
type Compression struct {
	Type     string `yaml:"type" required:"true" enum:"gzip,zstd" doc:"Algorithm."`
	MinBytes Bytes  `yaml:"minBytes" default:"1KiB" min:"0B" doc:"Payloads below it go as they are."`
}

// ClientTLS is the certificates of a calling side.
type ClientTLS struct {
	CAFile     string `yaml:"caFile" doc:"PEM file of the authorities."`
	CertFile   string `yaml:"certFile" doc:"PEM file of the own certificate."`
	KeyFile    string `yaml:"keyFile" doc:"PEM file of the own key."`
	ServerName string `yaml:"serverName" doc:"Name that the certificate must have."`
}

// Discovery says how services are published and found.
type Discovery struct {
	Etcd []Etcd `yaml:"etcd" doc:"The etcd clusters."`
}

// Etcd is one etcd cluster.
type Etcd struct {
	Name         string     `yaml:"name" required:"true" pattern:"name" doc:"Name that others refer to."`
	Endpoints    []string   `yaml:"endpoints" required:"true" doc:"URLs of the members."`
	Prefix       string     `yaml:"prefix" doc:"Prefix of the keys. Default: services/; rpcx/ for the rpcx layout."`
	Layouts      []string   `yaml:"layouts" default:"easymicro" enum:"easymicro,rpcx" doc:"How the keys are laid out."`
	Register     *Register  `yaml:"register" doc:"How this host publishes itself. Default: not at all."`
	Required     bool       `yaml:"required" default:"false" doc:"Whether the host needs etcd in order to start."`
	Staleness    Staleness  `yaml:"staleness" doc:"What counts when etcd is away."`
	TLS          *ClientTLS `yaml:"tls" doc:"Certificates towards etcd."`
	UsernameFile string     `yaml:"usernameFile" doc:"File with the user name."`
	PasswordFile string     `yaml:"passwordFile" doc:"File with the password."`
}

// Register says how a host publishes itself.
type Register struct {
	Advertise string   `yaml:"advertise" doc:"host:port that others reach it at."`
	LeaseTTL  Duration `yaml:"leaseTTL" default:"10s" min:"1s" doc:"How long it stays listed after it died."`
}

// Staleness says what counts when etcd is away.
type Staleness struct {
	KeepLastKnown     bool `yaml:"keepLastKnown" default:"true" doc:"Go on with the endpoints known last."`
	MinHealthyPercent int  `yaml:"minHealthyPercent" default:"50" min:"0" max:"100" doc:"Below it all endpoints are used again."`
}

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
	TLS          *ClientTLS   `yaml:"tls" doc:"TLS to the endpoints."`
	Around       []Around     `yaml:"around" doc:"Interceptors that run around the calls of handlers to the upstream, in this order: names, or {name, options}."`
}

// Resolve configures where endpoints are found. One of its fields is set.
type Resolve struct {
	Etcd      string    `yaml:"etcd" doc:"Name of an entry of discovery.etcd."`
	Endpoints []Address `yaml:"endpoints" doc:"The endpoints themselves: tcp://host:port, host:port or unix://path."`
	DNS       string    `yaml:"dns" doc:"host:port whose addresses are the endpoints, or the name of SRV records: _rpcx._tcp.billing.internal, srv://billing.internal."`
	File      string    `yaml:"file" doc:"YAML file with a list of endpoints; watched while the host runs."`
}

// LoadBalancer configures how an endpoint is picked.
type LoadBalancer struct {
	Policy string `yaml:"policy" default:"p2c" enum:"roundRobin,weightedRoundRobin,random,leastRequest,p2c,consistentHash" doc:"How an endpoint is chosen."`
	HashOn string `yaml:"hashOn" pattern:"hashOn" doc:"What consistentHash hashes: metadata.NAME or argument.FIELD."`
}

// Connection configures the connections to endpoints.
type Connection struct {
	ConnectTimeout    Duration `yaml:"connectTimeout" default:"1s" min:"1ms" max:"1h" doc:"How long connecting may take."`
	KeepaliveInterval Duration `yaml:"keepaliveInterval" default:"10s" min:"100ms" max:"1h" doc:"Interval between keepalive pings on an idle connection."`
	KeepaliveTimeout  Duration `yaml:"keepaliveTimeout" default:"3s" min:"10ms" max:"1h" doc:"How long the answer to a ping may take."`
	PoolSize          int      `yaml:"poolSize" default:"1" min:"1" max:"1000" doc:"Connections to one endpoint. Calls of 256 KiB and more, and calls of methods with replies that long, use an additional one, so that small calls do not wait behind them."`
}

// Compression configures how payloads are compressed.
type Compression struct {
	Type     string `yaml:"type" required:"true" enum:"gzip,zstd" doc:"Algorithm."`
	MinBytes Bytes  `yaml:"minBytes" default:"1KiB" min:"0B" max:"1GiB" doc:"Smaller payloads are not compressed. 0B: all are."`
}

// Discovery configures how services are published and found.
type Discovery struct {
	Etcd []Etcd `yaml:"etcd" doc:"The etcd clusters."`
}

// Etcd is one etcd cluster.
type Etcd struct {
	Name      string     `yaml:"name" required:"true" pattern:"name" doc:"Name that upstreams and gateways refer to."`
	Endpoints []string   `yaml:"endpoints" required:"true" doc:"URLs of the members: http://host:port, or https."`
	Prefix    string     `yaml:"prefix" doc:"Prefix of the keys. Default: services/; rpcx/ for the rpcx layout."`
	Layouts   []string   `yaml:"layouts" default:"easymicro" enum:"easymicro,rpcx" doc:"Layouts of the keys."`
	Register  *Register  `yaml:"register" doc:"How this host registers. Default: it does not."`
	Required  bool       `yaml:"required" default:"false" doc:"true: the host does not start unless etcd answers. false: it serves, and registers once etcd is reachable."`
	Staleness Staleness  `yaml:"staleness" doc:"Which endpoints are used while etcd is unreachable."`
	TLS       *ClientTLS `yaml:"tls" doc:"TLS to etcd."`

	AllowEndpoints []string `yaml:"allowEndpoints" enum:"loopback,linkLocal,unix" doc:"Kinds of addresses that are accepted from etcd although they lead to this machine or its network: anything that can write a key could otherwise make the host call them. loopback is also accepted in keys of this host, and when etcd itself is on loopback. Default: none."`

	UsernameFile string `yaml:"usernameFile" doc:"File with the user name; read again when it changes."`
	PasswordFile string `yaml:"passwordFile" doc:"File with the password; read again when it changes."`
}

// Register configures how a host publishes itself.
type Register struct {
	Advertise string   `yaml:"advertise" doc:"host:port at which others reach this host. Default: the address of the first rpcx listener; required if that listens on all addresses."`
	LeaseTTL  Duration `yaml:"leaseTTL" default:"10s" min:"1s" max:"1h" doc:"How long the host stays registered after a crash."`
}

// Staleness configures which endpoints are used while etcd is unreachable.
type Staleness struct {
	KeepLastKnown     bool `yaml:"keepLastKnown" default:"true" doc:"Keep the last known endpoints while etcd is unreachable."`
	MinHealthyPercent int  `yaml:"minHealthyPercent" default:"50" min:"0" max:"100" doc:"When fewer than this percentage of the endpoints remain, recently removed ones are used for a while longer. 0: never."`
}

// ClientTLS configures the certificates of a client.
type ClientTLS struct {
	CAFile     string `yaml:"caFile" doc:"PEM file with the CA certificates. Default: those of the system."`
	CertFile   string `yaml:"certFile" doc:"PEM file with the client certificate chain."`
	KeyFile    string `yaml:"keyFile" doc:"PEM file with the client key."`
	ServerName string `yaml:"serverName" pattern:"hostname" doc:"Name that the certificate must have. Default: the host of the address."`
}

// EndpointsFile is the content of a file named by resolve.file.
type EndpointsFile struct {
	Endpoints []Endpoint `yaml:"endpoints" required:"true" reload:"live" doc:"The endpoints. To have none write []."`
}

// Endpoint is an entry of a file named by resolve.file. A bare address is enough.
type Endpoint struct {
	Address  Address           `yaml:"address" required:"true" doc:"tcp://host:port, host:port or unix://path."`
	Weight   int               `yaml:"weight" min:"1" max:"1000000" doc:"Relative share of the calls, for load balancers that use weights. Default: 1."`
	Metadata map[string]string `yaml:"metadata" pattern:"any" doc:"Read by upstreams[].group and load balancers; numbers need no quotes."`
}

package config

// Discovery says how services are published and found.
type Discovery struct {
	Etcd []Etcd `yaml:"etcd" doc:"The etcd clusters."`
}

// Etcd is one etcd cluster.
type Etcd struct {
	Name      string     `yaml:"name" required:"true" pattern:"name" doc:"Name that others refer to."`
	Endpoints []string   `yaml:"endpoints" required:"true" doc:"URLs of the members: http://host:port, or https."`
	Prefix    string     `yaml:"prefix" doc:"Prefix of the keys. Default: services/; rpcx/ for the rpcx layout."`
	Layouts   []string   `yaml:"layouts" default:"easymicro" enum:"easymicro,rpcx" doc:"How the keys are laid out."`
	Register  *Register  `yaml:"register" doc:"How this host publishes itself. Default: not at all."`
	Required  bool       `yaml:"required" default:"false" doc:"true: the host does not start without an answer of etcd. false: it serves, and joins when etcd comes."`
	Staleness Staleness  `yaml:"staleness" doc:"What counts when etcd is away."`
	TLS       *ClientTLS `yaml:"tls" doc:"Certificates towards etcd."`

	AllowEndpoints []string `yaml:"allowEndpoints" enum:"loopback,linkLocal,unix" doc:"Kinds of addresses that are believed from etcd though they lead to this machine or its surroundings: whoever may write a key could otherwise have the host call them. loopback is also believed where the key is of this host, or etcd itself is on loopback. Default: none."`

	UsernameFile string `yaml:"usernameFile" doc:"File with the user name; read again when it changes."`
	PasswordFile string `yaml:"passwordFile" doc:"File with the password; read again when it changes."`
}

// Register says how a host publishes itself.
type Register struct {
	Advertise string   `yaml:"advertise" doc:"host:port that others reach it at. Default: the address of the first rpcx listener; required when that is every address of the machine."`
	LeaseTTL  Duration `yaml:"leaseTTL" default:"10s" min:"1s" max:"1h" doc:"How long it stays listed after it died."`
}

// Staleness says what counts when etcd is away.
type Staleness struct {
	KeepLastKnown     bool `yaml:"keepLastKnown" default:"true" doc:"Go on with the endpoints known last while etcd is away."`
	MinHealthyPercent int  `yaml:"minHealthyPercent" default:"50" min:"0" max:"100" doc:"When fewer than this share of the endpoints remain, those that vanished of late are used on for a while. 0: they never are."`
}

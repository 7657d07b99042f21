package config

// Listener is one place where a host listens for calls.
type Listener struct {
	Name      string   `yaml:"name" required:"true" pattern:"name" doc:"Name of the listener, unique."`
	Address   Address  `yaml:"address" required:"true" doc:"tcp://host:port, unix://path, host:port or :port."`
	Protocols []string `yaml:"protocols" default:"rpcx,http" enum:"rpcx,http" doc:"What is spoken; told apart by the first byte."`
	TLS       *TLS     `yaml:"tls" later:"true" doc:"Certificates of the listener."`
	Limits    Limits   `yaml:"limits" reload:"live" doc:"What a peer may take. A change is for the connections that come from then on."`

	ProxyProtocol *ProxyProtocol `yaml:"proxyProtocol" reload:"live" doc:"PROXY headers of balancers in TCP mode. Default: none, and peers that send one are turned away. A change is for the connections that come from then on."`
}

// ProxyProtocol says who connects on behalf of others.
type ProxyProtocol struct {
	From []string `yaml:"from" required:"true" pattern:"proxy" doc:"Networks (10.0.0.0/8) of balancers, and unix for peers that connect to a unix listener. From there a PROXY header, version 1 or 2, is required; from all others it is refused."`
}

// TLS is the certificates of a listener.
type TLS struct {
	CertFile     string `yaml:"certFile" required:"true" doc:"PEM file of the certificate chain."`
	KeyFile      string `yaml:"keyFile" required:"true" doc:"PEM file of the key."`
	ClientCAFile string `yaml:"clientCAFile" doc:"PEM file of the authorities of clients."`
	ClientAuth   string `yaml:"clientAuth" default:"none" enum:"none,request,require" doc:"Whether clients must show a certificate."`
}

// Limits bound what peers of a listener may take.
type Limits struct {
	MaxConnections           int      `yaml:"maxConnections" default:"16384" min:"1" max:"1000000" doc:"Connections at a time."`
	MaxMessageBytes          Bytes    `yaml:"maxMessageBytes" default:"4MiB" min:"1KiB" max:"1GiB" doc:"Size of a message on the wire."`
	MaxDecompressedBytes     Bytes    `yaml:"maxDecompressedBytes" default:"16MiB" min:"1KiB" max:"1GiB" doc:"Size of a payload once decompressed."`
	MaxInFlightPerConnection int      `yaml:"maxInFlightPerConnection" default:"1000" min:"1" max:"1000000" doc:"Calls of one connection at a time."`
	MaxMetadataBytes         Bytes    `yaml:"maxMetadataBytes" default:"8KiB" min:"1KiB" max:"1MiB" doc:"Size of the metadata of a call."`
	MaxMetadataPairs         int      `yaml:"maxMetadataPairs" default:"64" min:"8" max:"10000" doc:"Pairs of metadata of a call."`
	FirstByteTimeout         Duration `yaml:"firstByteTimeout" default:"2m" min:"1ms" max:"1h" doc:"How long a new connection may be silent. rpcx clients connect before they have something to say."`
	IdleTimeout              Duration `yaml:"idleTimeout" default:"2m" min:"1ms" max:"24h" doc:"How long a connection without calls is kept."`
	MaxConnectionAge         Duration `yaml:"maxConnectionAge" default:"0s" min:"0s" later:"true" doc:"How long a connection lives, ±10 %, closed when idle. 0s: for ever."`
}

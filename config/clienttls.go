package config

// ClientTLS is the certificates of a calling side.
type ClientTLS struct {
	CAFile     string `yaml:"caFile" doc:"PEM file of the authorities. Default: those of the system."`
	CertFile   string `yaml:"certFile" doc:"PEM file of the own certificate chain."`
	KeyFile    string `yaml:"keyFile" doc:"PEM file of the own key."`
	ServerName string `yaml:"serverName" pattern:"hostname" doc:"Name that the certificate must have. Default: the host of the address."`
}

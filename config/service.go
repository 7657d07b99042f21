package config

// Service is one service of a host.
type Service struct {
	Name      string            `yaml:"name" required:"true" pattern:"service" doc:"Name on the wire."`
	Aliases   []string          `yaml:"aliases" pattern:"service" reload:"live" doc:"Other names it is served under; rules and metrics go by the main name."`
	Handler   string            `yaml:"handler" required:"true" pattern:"handler" doc:"Name of the handler in the registry of the binary."`
	Methods   Methods           `yaml:"methods" reload:"live" doc:"Which methods are served."`
	Options   RawOptions        `yaml:"options" reload:"live" doc:"Options of the handler, decoded strictly into its own type."`
	Uses      map[string]string `yaml:"uses" reload:"live" doc:"Upstream for each client that the handler asks for."`
	Publish   *bool             `yaml:"publish" reload:"live" doc:"Publish it, and its aliases, to discovery. Default: true when a discovery has register."`
	Metadata  map[string]string `yaml:"metadata" reload:"live" doc:"Published to discovery with it: weight, group and what else its callers look at."`
	AccessLog bool              `yaml:"accessLog" default:"false" reload:"live" doc:"Log each call."`
}

// Methods says which methods of a service are served.
type Methods struct {
	Expose []string `yaml:"expose" pattern:"method" doc:"Methods that are served. Default: all."`
}

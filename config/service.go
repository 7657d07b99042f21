package config

// Service is one service of a host.
type Service struct {
	Name      string            `yaml:"name" required:"true" pattern:"service" doc:"Name on the wire."`
	Aliases   []string          `yaml:"aliases" pattern:"service" reload:"live" doc:"Other names it is served under; rules and metrics go by the main name."`
	Handler   string            `yaml:"handler" required:"true" pattern:"handler" doc:"Name of the handler in the registry of the binary."`
	Methods   Methods           `yaml:"methods" reload:"live" doc:"Which methods are served."`
	Options   RawOptions        `yaml:"options" reload:"live" doc:"Options of the handler, decoded strictly into its own type."`
	Uses      map[string]string `yaml:"uses" later:"true" doc:"Upstream for each client of the handler."`
	Publish   bool              `yaml:"publish" default:"false" reload:"live" later:"true" doc:"Publish it to discovery."`
	Metadata  map[string]string `yaml:"metadata" reload:"live" later:"true" doc:"Published to discovery with it."`
	AccessLog bool              `yaml:"accessLog" default:"false" reload:"live" doc:"Log each call."`
}

// Methods says which methods of a service are served.
type Methods struct {
	Expose []string `yaml:"expose" pattern:"method" doc:"Methods that are served. Default: all."`
}

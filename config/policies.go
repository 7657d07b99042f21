package config

// Policies are the rules for calls and where they stand.
type Policies struct {
	Rules        []Rule        `yaml:"rules" doc:"Rules that stand in the manifest itself."`
	Files        []string      `yaml:"files" doc:"Policy files; globs. Names that begin with . or # or end in ~ are no policy files; a pattern that matches nothing is an error."`
	AllowEmpty   bool          `yaml:"allowEmpty" default:"false" doc:"Accept patterns that match no file. A folder that cannot be read, and a link that leads nowhere, are errors even then."`
	Fallback     []string      `yaml:"fallback" doc:"Policy files that are tried at start when the others are bad; globs."`
	Watch        Watch         `yaml:"watch" doc:"How changes of the files are noticed."`
	Etcd         *PolicyEtcd   `yaml:"etcd" later:"true" doc:"Rules from etcd."`
	OnBadStart   string        `yaml:"onBadStart" default:"fail" enum:"fail,lastGood" laterEnum:"lastGood" doc:"What to do when the files are bad at start."`
	AutoRollback *AutoRollback `yaml:"autoRollback" scalar:"off" later:"true" doc:"Go back by itself when a change refuses what went through before. Default: off."`
}

// Watch says how changes of the files are noticed.
type Watch struct {
	Debounce Duration `yaml:"debounce" default:"100ms" min:"1ms" max:"1m" doc:"Quiet time after an event."`
	MaxDelay Duration `yaml:"maxDelay" default:"1s" min:"1ms" max:"5m" doc:"The longest that a stream of events holds a change back."`
	Poll     Duration `yaml:"poll" default:"5s" min:"100ms" max:"24h" doc:"How often the content is compared, whatever the events say."`
}

// PolicyEtcd says where rules stand in etcd.
type PolicyEtcd struct {
	Cluster string `yaml:"cluster" required:"true" doc:"Name of the etcd in discovery."`
	Prefix  string `yaml:"prefix" required:"true" doc:"Prefix of the keys."`
}

// AutoRollback says when a change is undone by itself.
type AutoRollback struct {
	Window         Duration `yaml:"window" default:"10s" min:"1s" doc:"How long a change is looked at."`
	MaxNewRefusals Share    `yaml:"maxNewRefusals" default:"50%" min:"0" doc:"Share of newly refused calls above which it is undone. 0: one is too many."`
	MinRequests    int      `yaml:"minRequests" default:"100" min:"1" doc:"Calls that must have been seen."`
}

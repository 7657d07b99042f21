package config

import "cmp"

// Policies holds the rules and where further ones are loaded from.
type Policies struct {
	Rules        []Rule        `yaml:"rules" doc:"Rules in the manifest itself."`
	Files        []string      `yaml:"files" effect:"neutral" doc:"Policy files; globs. Names that begin with . or # or end in ~ are not policy files; a pattern that matches nothing is an error."`
	AllowEmpty   bool          `yaml:"allowEmpty" default:"false" effect:"neutral" doc:"Accept patterns that match no file. A directory that cannot be read and a dangling link are errors even then."`
	Fallback     []string      `yaml:"fallback" effect:"neutral" doc:"Policy files to use at start if the others are invalid; globs."`
	Watch        Watch         `yaml:"watch" effect:"neutral" doc:"How changes of the files are detected."`
	Etcd         *PolicyEtcd   `yaml:"etcd" later:"true" doc:"Rules from etcd."`
	OnBadStart   string        `yaml:"onBadStart" default:"fail" enum:"fail,lastGood" effect:"neutral" doc:"What to do if the files are invalid at start. lastGood: start from the last set that was in force for 10 s without a crash, which needs host.state. If there is none, or with fail, fallback is tried."`
	AutoRollback *AutoRollback `yaml:"autoRollback" scalar:"off" effect:"neutral" doc:"Observe each edit, and undo it when it refuses or fails calls that were served before; or off. Default: on, with the defaults below."`
	Keep         []string      `yaml:"keep" pattern:"name" effect:"less" doc:"Rules that must exist in every set, enforced for all callers, not expired, and for a method or upstream of this host. A set that breaks that is rejected; the list of the running set counts, too."`
	Widening     string        `yaml:"widening" default:"warn" enum:"warn,refuse" effect:"less" doc:"What to do about edits that let more callers call more methods, by rules with access or by how callers are identified. warn: tell a caller and a method. refuse: reject them, unless the rule has widen: ok. The value of the running set counts, too."`
}

// Watch configures how changes of files are noticed.
type Watch struct {
	Debounce Duration `yaml:"debounce" default:"100ms" min:"1ms" max:"1m" doc:"How long to wait for further events after an event."`
	MaxDelay Duration `yaml:"maxDelay" default:"1s" min:"1ms" max:"5m" doc:"Maximum time that further events can delay a change."`
	Poll     Duration `yaml:"poll" default:"5s" min:"100ms" max:"24h" doc:"How often the content is compared, whether or not there were events."`
}

// PolicyEtcd configures rules in etcd.
type PolicyEtcd struct {
	Cluster string `yaml:"cluster" required:"true" doc:"Name of an entry of discovery.etcd."`
	Prefix  string `yaml:"prefix" required:"true" doc:"Prefix of the keys."`
}

// AutoRollback configures when an edit is undone. nil is off.
type AutoRollback struct {
	Window         Duration `yaml:"window" default:"10s" min:"1s" max:"1h" doc:"How long an edit is observed; up to ten times as long until there were minRequests calls."`
	MaxNewRefusals Share    `yaml:"maxNewRefusals" default:"50%" min:"0" max:"1" doc:"Ratio of the calls, in total or of one method, above which an edit is undone that refuses, times out or turns away calls that were served before. 0: one is enough."`
	MaxNewFailures Share    `yaml:"maxNewFailures" default:"30%" min:"0" max:"1" doc:"How much the ratio of calls that fail may grow, in total or for one method that the edit affects, before the edit is undone. 0: any growth is enough. Calls that a rule ended count only if the edit changes their service or upstream, and not the rule: a timeout or a circuit breaker."`
	MinRequests    int      `yaml:"minRequests" default:"100" min:"1" doc:"Minimum number of calls to judge by."`
}

// Stricter combines the settings of the set in force and of an edit: of each field the stricter value. It returns nil if both are
// off.
func (a *AutoRollback) Stricter(o *AutoRollback) *AutoRollback {
	if a == nil || o == nil {
		return cmp.Or(a, o)
	}
	return &AutoRollback{
		Window: max(a.Window, o.Window), MaxNewRefusals: min(a.MaxNewRefusals, o.MaxNewRefusals),
		MaxNewFailures: min(a.MaxNewFailures, o.MaxNewFailures), MinRequests: min(a.MinRequests, o.MinRequests),
	}
}

// PolicyFile is the content of a policy file.
type PolicyFile struct {
	Rules []Rule `yaml:"rules" required:"true" reload:"live" doc:"The rules."`
}

package config

import (
	"encoding/json"
	"fmt"
	"time"
)

// Rule says what holds for the calls that it matches. Its kinds are the pointers that are not nil.
type Rule struct {
	Name         string    `yaml:"name" required:"true" pattern:"name" doc:"Name of the rule, unique over the set: its identity across edits, in metrics and in refusals."`
	Was          string    `yaml:"was" pattern:"name" doc:"Former name: the state of that rule is carried over."`
	Description  string    `yaml:"description" doc:"Purpose of the rule."`
	Match        Match     `yaml:"match" required:"true" doc:"Calls that the rule applies to; not empty."`
	Mode         Mode      `yaml:"mode" default:"enforce" enum:"enforce,shadow,off" doc:"enforce, shadow (dry run: evaluated and counted, never enforced) or off."`
	EnforceShare *Share    `yaml:"enforceShare" min:"0" max:"1" doc:"Ratio of the callers for which the rule is enforced; for the others it is in shadow mode. 0: for none. Default: all."`
	Expires      time.Time `yaml:"expires" doc:"When the rule expires, such as 2026-12-31T00:00:00Z; there is a warning seven days before, and when it does. Default: never."`
	AutoRollback string    `yaml:"autoRollback" enum:"off" doc:"off: refusals by this rule are never a reason to roll back."`

	Access           *Access           `yaml:"access" doc:"Who may call."`
	Shed             *Shed             `yaml:"shed" later:"true" doc:"Refuse a growing share of calls when the machine is busy."`
	RateLimit        *RateLimit        `yaml:"rateLimit" doc:"Calls per time: a token bucket, refilled evenly at rate/per."`
	CircuitBreaker   *CircuitBreaker   `yaml:"circuitBreaker" doc:"Stop calls to a failing method or endpoint for a while."`
	Concurrency      *Concurrency      `yaml:"concurrency" doc:"Calls at the same time."`
	Timeout          *Duration         `yaml:"timeout" min:"1ms" max:"24h" doc:"How long a call may take; never longer than the caller's own deadline."`
	Retry            *Retry            `yaml:"retry" doc:"Send failed calls again; needs match.upstream."`
	Hedge            *Hedge            `yaml:"hedge" doc:"Send slow calls a second time; needs match.upstream."`
	OutlierDetection *OutlierDetection `yaml:"outlierDetection" doc:"Leave out endpoints that fail; needs match.upstream."`

	path string // in its file: rules[3]
	at   places // by path inside the rule
}

// Position is where the value at path inside the rule (rateLimit.rate) stands, or else the nearest known thing around
// it. The empty path is the rule itself.
func (r *Rule) Position(path string) Position { return r.at.position(path) }

// Path is where the rule stands inside its file, as problems say it: rules[3].
func (r *Rule) Path() string { return r.path }

// Mode says what a rule does with its decisions. The empty mode is Enforce.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow"
	Off     Mode = "off"
)

// ClientSide tells that the rule is about calls that go out to upstreams, and not about those that come in.
func (r *Rule) ClientSide() bool { return len(r.Match.Upstream) > 0 }

// Kind is what a rule does.
type Kind string

// The kinds, in the order in which a server asks them, then those of clients.
const (
	KindAccess           Kind = "access"
	KindShed             Kind = "shed"
	KindRateLimit        Kind = "rateLimit"
	KindCircuitBreaker   Kind = "circuitBreaker"
	KindConcurrency      Kind = "concurrency"
	KindTimeout          Kind = "timeout"
	KindRetry            Kind = "retry"
	KindHedge            Kind = "hedge"
	KindOutlierDetection Kind = "outlierDetection"
)

// ServerOnly reports whether rules of the kind are for calls that come in, and not for those to upstreams.
func (k Kind) ServerOnly() bool { return k == KindAccess || k == KindShed }

// ClientOnly reports whether rules of the kind are for calls to upstreams, and not for those that come in.
func (k Kind) ClientOnly() bool { return k == KindRetry || k == KindHedge || k == KindOutlierDetection }

// Kinds are the kinds that the rule has, in the order in which a server asks them.
func (r *Rule) Kinds() []Kind {
	var kinds []Kind
	add := func(k Kind, has bool) {
		if has {
			kinds = append(kinds, k)
		}
	}
	add(KindAccess, r.Access != nil)
	add(KindShed, r.Shed != nil)
	add(KindRateLimit, r.RateLimit != nil)
	add(KindCircuitBreaker, r.CircuitBreaker != nil)
	add(KindConcurrency, r.Concurrency != nil)
	add(KindTimeout, r.Timeout != nil)
	add(KindRetry, r.Retry != nil)
	add(KindHedge, r.Hedge != nil)
	add(KindOutlierDetection, r.OutlierDetection != nil)
	return kinds
}

// Policies are the rules for calls and where they stand.
type Policies struct {
	Rules        []Rule        `yaml:"rules" doc:"Rules in the manifest itself."`
	Files        []string      `yaml:"files" doc:"Policy files; globs. Names that begin with . or # or end in ~ are not policy files; a pattern that matches nothing is an error."`
	AllowEmpty   bool          `yaml:"allowEmpty" default:"false" doc:"Accept patterns that match no file. A directory that cannot be read and a dangling link are errors even then."`
	Fallback     []string      `yaml:"fallback" doc:"Policy files that are tried at start when the others are bad; globs."`
	Watch        Watch         `yaml:"watch" doc:"How changes of the files are noticed."`
	Etcd         *PolicyEtcd   `yaml:"etcd" later:"true" doc:"Rules from etcd."`
	OnBadStart   string        `yaml:"onBadStart" default:"fail" enum:"fail,lastGood" laterEnum:"lastGood" doc:"What to do when the files are bad at start."`
	AutoRollback *AutoRollback `yaml:"autoRollback" scalar:"off" later:"true" doc:"Roll back automatically when a change refuses calls that were let through before. Default: off."`
}

// Watch says how changes of the files are noticed.
type Watch struct {
	Debounce Duration `yaml:"debounce" default:"100ms" min:"1ms" max:"1m" doc:"Quiet time after an event."`
	MaxDelay Duration `yaml:"maxDelay" default:"1s" min:"1ms" max:"5m" doc:"Maximum time that further events can delay a change."`
	Poll     Duration `yaml:"poll" default:"5s" min:"100ms" max:"24h" doc:"How often the content is compared, whether or not there were events."`
}

// PolicyEtcd says where rules stand in etcd.
type PolicyEtcd struct {
	Cluster string `yaml:"cluster" required:"true" doc:"Name of the etcd in discovery."`
	Prefix  string `yaml:"prefix" required:"true" doc:"Prefix of the keys."`
}

// AutoRollback says when a change is undone by itself.
type AutoRollback struct {
	Window         Duration `yaml:"window" default:"10s" min:"1s" doc:"How long a change is observed."`
	MaxNewRefusals Share    `yaml:"maxNewRefusals" default:"50%" min:"0" doc:"Ratio of newly refused calls above which it is rolled back. 0: one is enough."`
	MinRequests    int      `yaml:"minRequests" default:"100" min:"1" doc:"Minimum number of calls."`
}

// PolicyFile is the content of a policy file.
type PolicyFile struct {
	Rules []Rule `yaml:"rules" required:"true" reload:"live" doc:"The rules."`
}

func (r *Rule) setPlaces(path string, at places) {
	r.path, r.at = path, at
	r.complete()
}

// complete fills in the defaults that depend on other fields.
func (r *Rule) complete() {
	if l := r.RateLimit; l != nil && l.Burst == 0 {
		l.Burst = int64(min(max(float64(l.Rate), 1), maxBurst))
	}
}

func (r *Rule) expiry() Expiry {
	mode := r.Mode
	if mode == "" {
		mode = Enforce
	}
	return Expiry{Rule: r.Name, Kinds: r.Kinds(), Mode: mode, At: r.Expires, Position: r.Position("expires")}
}

// content is what a rule does, whatever it is called.
func (r *Rule) content() string {
	bare := *r
	bare.Name, bare.Was, bare.Description, bare.path, bare.at = "", "", "", "", places{}
	text, err := json.Marshal(bare) //nolint:musttag // it is only compared
	if err != nil {
		return r.Name // like none but itself
	}
	return string(text)
}

// Expired reports whether the rule takes no part any more.
func (r *Rule) Expired(now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// disarmed is why a rule enforces nothing; empty when it does.
func (r *Rule) disarmed(now time.Time) string {
	switch {
	case r.Expired(now):
		return "has expired"
	case r.Mode != Enforce && r.Mode != "":
		return "is no longer enforced (mode: " + string(r.Mode) + ")"
	}
	return ""
}

// exceptPath is where an exception stands inside the rule: one alone needs no list around it.
func (r *Rule) exceptPath(i int) string {
	if len(r.Match.Except) == 1 && !r.at.written("match.except[0]") {
		return "match.except"
	}
	return fmt.Sprintf("match.except[%d]", i)
}

// carriedOut reports whether a rule holds for all calls that it matches.
func (r *Rule) carriedOut() bool { return r.Mode != Shadow && r.EnforceShare == nil }

package config

import "time"

// Rule says what holds for the calls that it matches. Its kinds are the pointers that are not nil.
type Rule struct {
	Name         string    `yaml:"name" required:"true" pattern:"name" doc:"Name of the rule, unique over the set: its identity across edits, in metrics and in refusals."`
	Was          string    `yaml:"was" pattern:"name" doc:"Former name: the state of that rule is carried over."`
	Description  string    `yaml:"description" doc:"What it is for."`
	Match        Match     `yaml:"match" required:"true" doc:"The calls it is about; not empty."`
	Mode         Mode      `yaml:"mode" default:"enforce" enum:"enforce,shadow,off" doc:"enforce, shadow (decides and counts, refuses nothing) or off."`
	EnforceShare *Share    `yaml:"enforceShare" min:"0" max:"1" doc:"Share of the callers for whom refusals are carried out; counted as shadow for the others. 0: for none. Default: all."`
	Expires      time.Time `yaml:"expires" doc:"When the rule stops taking part, as 2026-12-31T00:00:00Z; told seven days before, and when it happens. Default: never."`
	AutoRollback string    `yaml:"autoRollback" enum:"off" doc:"off: refusals by this rule are never a reason to roll back."`

	Access           *Access           `yaml:"access" doc:"Who may call."`
	Shed             *Shed             `yaml:"shed" later:"true" doc:"Refuse a growing share of calls when the machine is busy."`
	RateLimit        *RateLimit        `yaml:"rateLimit" doc:"How many calls a time: a token bucket, refilled evenly at rate/per."`
	CircuitBreaker   *CircuitBreaker   `yaml:"circuitBreaker" doc:"Stop calling what fails, for a while."`
	Concurrency      *Concurrency      `yaml:"concurrency" doc:"How many calls at a time."`
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

// Match says which calls a rule is about: all of its fields must match, a field that is not given always does.
type Match struct {
	Service  Patterns   `yaml:"service" pattern:"glob" doc:"Name of the service."`
	Method   Patterns   `yaml:"method" pattern:"glob" doc:"Name of the method; needs service or upstream."`
	Caller   Patterns   `yaml:"caller" pattern:"callerGlob" doc:"The verified caller, or anonymous."`
	Peer     Patterns   `yaml:"peer" pattern:"cidr" doc:"Networks of the peer, as 10.0.0.0/8."`
	Upstream Patterns   `yaml:"upstream" pattern:"glob" doc:"Makes the rule client-side: the upstream that is called."`
	Except   Exceptions `yaml:"except" doc:"Calls that are taken out again: those that all fields of it match. Several stand in a list. It does not make the rule more specific."`
}

// IsZero reports whether no field is given that names calls.
func (m Match) IsZero() bool {
	return len(m.Service)+len(m.Method)+len(m.Caller)+len(m.Peer)+len(m.Upstream) == 0
}

// Exceptions is one exception or a list of them; each takes calls out.
type Exceptions []Exception

// Exception says which calls a match leaves out: all of its fields must match, a field that is not given always does.
type Exception struct {
	Service  Patterns `yaml:"service" pattern:"glob" doc:"Name of the service."`
	Method   Patterns `yaml:"method" pattern:"glob" doc:"Name of the method; needs service or upstream, here or in match."`
	Caller   Patterns `yaml:"caller" pattern:"callerGlob" doc:"The verified caller, or anonymous."`
	Peer     Patterns `yaml:"peer" pattern:"cidr" doc:"Networks of the peer, as 10.0.0.0/8."`
	Upstream Patterns `yaml:"upstream" pattern:"glob" doc:"The upstream that is called; only beside match.upstream."`
}

// IsZero reports whether no field is given.
func (e Exception) IsZero() bool {
	return len(e.Service)+len(e.Method)+len(e.Caller)+len(e.Peer)+len(e.Upstream) == 0
}

// ClientSide tells that the rule is about calls that go out to upstreams, and not about those that come in.
func (r *Rule) ClientSide() bool { return len(r.Match.Upstream) > 0 }

// Patterns is a value, a glob (* is any text) or a list of them; one of them must match.
type Patterns []string

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

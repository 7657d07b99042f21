package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule is a policy for the calls that it matches. Its kinds are the non-nil pointers.
type Rule struct {
	Name         string    `yaml:"name" required:"true" pattern:"name" doc:"Name of the rule, unique in the set: its identity across edits, in metrics and in refusals."`
	Was          string    `yaml:"was" pattern:"name" doc:"Former name: the state of that rule is carried over."`
	Description  string    `yaml:"description" effect:"neutral" doc:"Purpose of the rule."`
	Match        Match     `yaml:"match" required:"true" doc:"Calls that the rule applies to; not empty."`
	Mode         Mode      `yaml:"mode" default:"enforce" enum:"enforce,shadow,off" doc:"enforce, shadow (dry run: evaluated and counted, never enforced) or off."`
	EnforceShare *Share    `yaml:"enforceShare" min:"0" max:"1" doc:"Ratio of the callers for which the rule is enforced; for the others it is in shadow mode. 0: for none. Default: all."`
	Expires      time.Time `yaml:"expires" doc:"When the rule expires, such as 2026-12-31T00:00:00Z; there is a warning seven days before, and when it does. Default: never."`
	AutoRollback string    `yaml:"autoRollback" enum:"off" effect:"neutral" doc:"off: refusals by this rule are never a reason to roll back."`
	Widen        string    `yaml:"widen" enum:"ok" effect:"neutral" doc:"ok: edits that make this rule refuse fewer calls, or remove it, are accepted under policies.widening: refuse."`

	Access           *Access           `yaml:"access" doc:"Which callers may call."`
	Priority         *Priority         `yaml:"priority" enum:"high,normal,low" doc:"Which calls go first where shed or a full queue has to choose: high, normal (calls without such a rule) or low. The most specific rule wins."`
	Shed             *Shed             `yaml:"shed" doc:"Refuse a growing share of calls while the CPU is busy, those of low priority first."`
	RateLimit        *RateLimit        `yaml:"rateLimit" doc:"Limit the rate of calls: a token bucket, refilled evenly at rate/per."`
	CircuitBreaker   *CircuitBreaker   `yaml:"circuitBreaker" doc:"Stop calls to a failing method or endpoint for a while."`
	Concurrency      *Concurrency      `yaml:"concurrency" doc:"Limit the calls in flight."`
	Timeout          *Duration         `yaml:"timeout" min:"1ms" max:"24h" effect:"more,none" doc:"How long a call may take; never longer than the caller's own deadline."`
	Retry            *Retry            `yaml:"retry" doc:"Retry failed calls; needs match.upstream."`
	Hedge            *Hedge            `yaml:"hedge" doc:"Send slow calls a second time; needs match.upstream."`
	OutlierDetection *OutlierDetection `yaml:"outlierDetection" doc:"Eject endpoints that fail; needs match.upstream."`

	path string    // rules[3], relative to its file
	at   positions // by path relative to the rule
}

// Position returns where the value at a path inside the rule (rateLimit.rate) is, or else its nearest known parent.
// The empty path is the rule itself.
func (r *Rule) Position(path string) Position { return r.at.position(path) }

// Path returns the path of the rule in its file, as problems show it: rules[3].
func (r *Rule) Path() string { return r.path }

// Mode determines how the decisions of a rule are used. The empty mode is Enforce.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow"
	Off     Mode = "off"
)

// RollbackOff is the value of Rule.AutoRollback for a rule that is never a reason to roll back.
const RollbackOff = "off"

// widenOK is the value of Rule.Widen that accepts edits.
const widenOK = "ok"

// ClientSide reports whether the rule applies to outgoing calls, and not to incoming ones.
func (r *Rule) ClientSide() bool { return len(r.Match.Upstream) > 0 }

// Kinds returns the kinds of the rule, in the order of evaluation by a server.
func (r *Rule) Kinds() []Kind {
	var list []Kind
	for i := range kinds {
		if kinds[i].of(r) {
			list = append(list, kinds[i].kind)
		}
	}
	return list
}

func (r *Rule) setPositions(path string, at positions) {
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

// content returns the rule as text, without its names.
func (r *Rule) content() string {
	bare := *r
	bare.Name, bare.Was, bare.Description, bare.path, bare.at = "", "", "", "", positions{}
	text, err := json.Marshal(bare) //nolint:musttag // it is only compared
	if err != nil {
		return r.Name // equal to itself only
	}
	return string(text)
}

// Expired reports whether the rule has expired.
func (r *Rule) Expired(now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// disarmed returns why the rule enforces nothing, or "".
func (r *Rule) disarmed(now time.Time) string {
	switch {
	case r.Expired(now):
		return "has expired"
	case r.Mode != Enforce && r.Mode != "":
		return "is no longer enforced (mode: " + string(r.Mode) + ")"
	}
	return ""
}

// MethodPatterns returns the patterns by which the rule decides whether it applies to a method: those of match and of kinds with
// methods of their own. Those of hedge are not among them, since it refuses no call.
func (r *Rule) MethodPatterns() []string {
	list := slices.Clone(r.Match.Method)
	for _, x := range r.Match.Except {
		list = append(list, x.Method...)
	}
	if r.Access != nil {
		for _, e := range slices.Concat(r.Access.Allow, r.Access.Deny) {
			list = append(list, e.Methods...)
		}
	}
	return list
}

// exceptPath returns the path of an exception. A single one may be written without a list.
func (r *Rule) exceptPath(i int) string {
	if len(r.Match.Except) == 1 && !r.at.written("match.except[0]") {
		return "match.except"
	}
	return fmt.Sprintf("match.except[%d]", i)
}

// enforcedForAll reports whether the rule is enforced for all calls that it matches.
func (r *Rule) enforcedForAll() bool { return r.Mode != Shadow && r.EnforceShare == nil }

// EnforcedShare returns the share of the callers for which the rule is enforced; 0 in shadow, and if it is off.
func (r *Rule) EnforcedShare() Share {
	if r.Mode == Shadow || r.Mode == Off {
		return 0
	}
	return Share(share(r.EnforceShare))
}

// Access allows and denies callers. Calls that match a deny entry are refused; with allow, so are calls that match
// no allow entry.
type Access struct {
	Allow []AccessEntry `yaml:"allow" doc:"Callers that may call; all others are refused."`
	Deny  []AccessEntry `yaml:"deny" doc:"Callers that may not call; evaluated before allow."`
}

// AccessEntry matches calls by caller and method.
type AccessEntry struct {
	Caller  Patterns `yaml:"caller" required:"true" pattern:"callerGlob" doc:"The verified caller, or anonymous; a value, a glob or a list."`
	Methods Patterns `yaml:"methods" pattern:"glob" doc:"Methods that it applies to. Default: all."`
}

// Priority says which calls go first where shed or a full queue has to choose.
type Priority string

// The priorities. Calls without a rule have PriorityNormal.
const (
	PriorityHigh   Priority = "high"
	PriorityNormal Priority = "normal"
	PriorityLow    Priority = "low"
)

// RateLimit is a token bucket that is refilled with rate tokens per period and holds at most burst of them.
type RateLimit struct {
	Rate         Rate     `yaml:"rate" required:"true" effect:"more" doc:"Calls in each per; from 1 a day to 10^8 a second, fractions allowed."`
	Per          Duration `yaml:"per" default:"1s" min:"1ns" max:"24h" effect:"less" doc:"Period of rate. Edits keep the tokens in a bucket; a restart of the host fills it, so that a quota (a per of an hour or more) allows up to burst more calls after each restart."`
	Burst        int64    `yaml:"burst" min:"1" max:"1000000000" effect:"more" doc:"Calls that may arrive at once. Default: the tokens of one per, at least 1."`
	Key          Key      `yaml:"key" pattern:"key" doc:"One bucket for each caller, peer, method, identity.NAME (a claim that auth.jwt.claims names) or metadata.NAME, or for each combination of a list of them. peer is the address for IPv4 and the /64 for IPv6; peer/56 takes another length. Default: one bucket for all."`
	MaxKeys      int      `yaml:"maxKeys" default:"10000" min:"1" max:"1000000" effect:"more" doc:"Buckets kept at a time. A bucket is forgotten once it is full again; while none is, new keys share one bucket."`
	OnMissingKey string   `yaml:"onMissingKey" default:"share" enum:"share,refuse" effect:"less" doc:"Calls without the metadata or the claim of the key: share one bucket among all of them, or refuse them."`
	OnExceed     string   `yaml:"onExceed" default:"reject" enum:"reject,wait" effect:"more" doc:"reject at once, or wait for a token."`
	MaxWait      Duration `yaml:"maxWait" default:"100ms" min:"1ms" max:"1h" effect:"more" doc:"How long to wait for a token, with onExceed: wait."`
	Scope        string   `yaml:"scope" default:"host" enum:"host,fleet" laterEnum:"fleet" doc:"fleet: divided by the live hosts of the service."`
}

// Key selects the bucket of a call: a value or a list of them.
type Key []string

// The values of a Key. peer may have a prefix length, as in peer/56.
const (
	KeyCaller   = "caller"
	KeyPeer     = "peer"
	KeyMethod   = "method"
	KeyMetadata = "metadata." // followed by a name
	KeyIdentity = "identity." // followed by the name of a claim in auth.jwt.claims
)

// How a rate limit treats calls without the metadata or the claim of its key.
const (
	OnMissingKeyShare  = "share"
	OnMissingKeyRefuse = "refuse"
)

// How a rate limit treats calls above the rate.
const (
	OnExceedReject = "reject"
	OnExceedWait   = "wait"
)

// Concurrency bounds the calls in flight, incoming or to an upstream. A call counts once, whatever its attempts.
type Concurrency struct {
	Max          int       `yaml:"max" min:"1" max:"1000000" effect:"more" doc:"Maximum number of calls in flight; required, unless adaptive is given."`
	Queue        int       `yaml:"queue" default:"0" min:"0" max:"1000000" effect:"more" doc:"Calls that may wait, first in, first out within one priority. When it is full, a call of higher priority takes the place of the newest of the lowest one. 0: no queue."`
	QueueTimeout Duration  `yaml:"queueTimeout" default:"1s" min:"1ms" max:"1h" effect:"more" doc:"How long a call may wait."`
	Adaptive     *Adaptive `yaml:"adaptive" effect:"more" doc:"A limit that follows from how long calls take, instead of max: it grows while it is used up and calls do not become slower, and shrinks when they do."`
}

// Adaptive is the range of a limit that adjusts itself.
type Adaptive struct {
	Min int `yaml:"min" default:"10" min:"1" max:"1000000" doc:"Minimum limit, with which it begins."`
	Max int `yaml:"max" default:"2000" min:"1" max:"1000000" doc:"Maximum limit."`
}

// Shed refuses a growing share of calls while the CPU is busy.
type Shed struct {
	CPUAbove Share `yaml:"cpuAbove" required:"true" min:"0.01" max:"1" effect:"more" doc:"CPU utilization above which calls are refused, of the quota of the control group or, without one, of the processors that the process may use; a mean over about a second. At 100% of it, 95% are refused; half way there, 47% of the calls of normal priority, 95% of those of low priority and none of high priority."`
}

// CircuitBreaker stops calls to a failing target. At least one of failureRate, consecutiveFailures and slowCallRate
// is set.
type CircuitBreaker struct {
	Window              Duration `yaml:"window" default:"10s" min:"100ms" max:"1h" doc:"Time over which outcomes count."`
	MinRequests         int      `yaml:"minRequests" default:"20" min:"1" max:"1000000000" effect:"more" doc:"Calls in the window below which the rates do not count."`
	FailureRate         Share    `yaml:"failureRate" min:"0.0001" max:"1" effect:"more,none" doc:"Ratio of failures at which it opens. Default: not used."`
	ConsecutiveFailures int      `yaml:"consecutiveFailures" min:"1" max:"1000000000" effect:"more,none" doc:"Consecutive failures at which it opens. Default: not used."`
	SlowCallDuration    Duration `yaml:"slowCallDuration" min:"1ms" max:"24h" effect:"more,none" doc:"A call that takes this long or longer is slow, whether its handler, a timeout or its caller ends it."`
	SlowCallRate        Share    `yaml:"slowCallRate" min:"0.0001" max:"1" effect:"more,none" doc:"Ratio of slow calls at which it opens; needs slowCallDuration. Default: not used."`
	OpenTimeout         Duration `yaml:"openTimeout" default:"5s" min:"1ms" max:"24h" effect:"less" doc:"How long it stays open before it probes."`
	HalfOpenRequests    int      `yaml:"halfOpenRequests" default:"3" min:"1" max:"1000000" doc:"Probe calls when half-open; all must succeed."`
	Scope               string   `yaml:"scope" enum:"method,endpoint,upstream" doc:"What has a breaker of its own; endpoint and upstream need match.upstream. Default: method on a server, endpoint on a client."`
	FailOn              []string `yaml:"failOn" default:"UNAVAILABLE,DEADLINE_EXCEEDED,INTERNAL" pattern:"code" effect:"less" doc:"Codes that count as failures. Cancelled calls, refusals by a rule, and deadlines that callers set shorter than the rules of this host never count."`
}

// The scopes of a breaker.
const (
	ScopeMethod   = "method"
	ScopeEndpoint = "endpoint"
	ScopeUpstream = "upstream"
)

// Retry sends failed calls again if they are idempotent or provably never ran.
type Retry struct {
	MaxAttempts    int      `yaml:"maxAttempts" default:"3" min:"2" max:"100" doc:"Attempts, the first included."`
	PerTryTimeout  Duration `yaml:"perTryTimeout" min:"1ms" max:"24h" doc:"How long one attempt may take; one that takes longer may have run, and is retried only if it is idempotent. Default: as long as the call."`
	InitialBackoff Duration `yaml:"initialBackoff" default:"20ms" min:"1ms" max:"1h" doc:"Maximum pause before the second attempt; it doubles with each attempt. The pause is random, from 0 up to the maximum."`
	MaxBackoff     Duration `yaml:"maxBackoff" default:"500ms" min:"1ms" max:"1h" doc:"Maximum pause before any attempt, unless the peer asks for a longer one."`
	RetryOn        []string `yaml:"retryOn" default:"UNAVAILABLE" pattern:"code" doc:"Codes that are retried."`
	FailMode       string   `yaml:"failMode" default:"failover" enum:"failover,failtry,failfast" doc:"failover: retry on another endpoint while there is one; failtry: retry on the same one; failfast: no retry."`
	Budget         Share    `yaml:"budget" default:"20%" min:"0.01" max:"1" doc:"Ratio of the calls of the last 10s that may be retries, hedges included; 10 in 10s are always allowed."`
}

// The fail modes of a retry.
const (
	Failover = "failover"
	Failtry  = "failtry"
	Failfast = "failfast"
)

// Hedge sends slow calls a second time and takes the first answer.
type Hedge struct {
	Delay       Duration `yaml:"delay" required:"true" min:"1ms" max:"1h" doc:"Time after which a second attempt is sent."`
	MaxAttempts int      `yaml:"maxAttempts" default:"2" min:"2" max:"10" doc:"Attempts, the first included."`
	Methods     Patterns `yaml:"methods" required:"true" pattern:"glob" doc:"Methods that it applies to; only idempotent calls are sent twice."`
}

// OutlierDetection ejects failing endpoints. Its fields have the names of Envoy.
type OutlierDetection struct {
	ConsecutiveFailures int      `yaml:"consecutiveFailures" default:"5" min:"1" max:"1000000000" doc:"Consecutive failures at which an endpoint is ejected."`
	Interval            Duration `yaml:"interval" default:"10s" min:"1ms" max:"24h" doc:"Each interval in use without an ejection takes one ejection off the count, so that the next is shorter."`
	BaseEjectionTime    Duration `yaml:"baseEjectionTime" default:"30s" min:"1ms" max:"24h" doc:"Length of the first ejection; the second is twice as long, and so on."`
	MaxEjectionTime     Duration `yaml:"maxEjectionTime" default:"5m" min:"1ms" max:"24h" doc:"Maximum length of an ejection."`
	MaxEjectionPercent  int      `yaml:"maxEjectionPercent" default:"50" min:"1" max:"100" doc:"Percentage of the endpoints that may be ejected at a time; one always stays."`
}

// maxBurst bounds a token bucket.
const maxBurst = 1_000_000_000

// keyPath returns the path of a part of a key inside the rule.
func keyPath(key Key, i int) string {
	if len(key) == 1 {
		return "rateLimit.key"
	}
	return fmt.Sprintf("rateLimit.key[%d]", i)
}

// keyKind returns a part of a key without the prefix length of peer. Names of metadata may contain a slash.
func keyKind(part string) string {
	if strings.HasPrefix(part, KeyPeer+"/") {
		return KeyPeer
	}
	return part
}

package config

// Access says who may call. A call that a deny entry matches is refused; with allow, one that no allow entry matches
// is refused too.
type Access struct {
	Allow []AccessEntry `yaml:"allow" doc:"Callers that may call; all others are refused."`
	Deny  []AccessEntry `yaml:"deny" doc:"Callers that may not call; evaluated before allow."`
}

// AccessEntry matches calls by caller and method.
type AccessEntry struct {
	Caller  Patterns `yaml:"caller" required:"true" pattern:"callerGlob" doc:"The verified caller, or anonymous; a value, a glob or a list."`
	Methods Patterns `yaml:"methods" pattern:"glob" doc:"Methods that it applies to. Default: all."`
}

// RateLimit is a token bucket: rate tokens for each per, at most burst of them saved up.
type RateLimit struct {
	Rate         Rate     `yaml:"rate" required:"true" doc:"Calls for each per; from 1 a day to 10^8 a second, fractions allowed."`
	Per          Duration `yaml:"per" default:"1s" min:"1ns" max:"24h" doc:"Time that rate is for. Edits keep what is left in a bucket; a restart of the host fills it, so that a quota (per an hour or more) lets up to burst calls more through after each."`
	Burst        int64    `yaml:"burst" min:"1" max:"1000000000" doc:"Calls that may come at once. Default: the tokens of one per, at least 1."`
	Key          Key      `yaml:"key" pattern:"key" doc:"One bucket for each caller, peer, method or metadata.NAME, or for each combination of a list of them. peer is the address for IPv4 and the /64 for IPv6; peer/56 takes another length. Default: one bucket for all."`
	MaxKeys      int      `yaml:"maxKeys" default:"10000" min:"1" max:"1000000" doc:"Buckets kept at a time. A bucket is forgotten once it is full again; while none is, new keys share one bucket."`
	OnMissingKey string   `yaml:"onMissingKey" default:"share" enum:"share,refuse" doc:"Calls without the metadata of the key: share one bucket among all of them, or refuse them."`
	OnExceed     string   `yaml:"onExceed" default:"reject" enum:"reject,wait" doc:"reject at once, or wait for a token."`
	MaxWait      Duration `yaml:"maxWait" default:"100ms" min:"1ms" max:"1h" doc:"How long to wait for a token, with onExceed: wait."`
	Scope        string   `yaml:"scope" default:"host" enum:"host,fleet" laterEnum:"fleet" doc:"fleet: divided by the live hosts of the service."`
}

// Key is what the calls of one bucket of a rate limit have in common: a value, or a list of them.
type Key []string

// The values of a Key; peer may have a prefix length behind it, as peer/56.
const (
	KeyCaller   = "caller"
	KeyPeer     = "peer"
	KeyMethod   = "method"
	KeyMetadata = "metadata." // and a name
)

// What a rate limit does with a call without the metadata of its key.
const (
	OnMissingKeyShare  = "share"
	OnMissingKeyRefuse = "refuse"
)

// What a rate limit does with a call above the rate.
const (
	OnExceedReject = "reject"
	OnExceedWait   = "wait"
)

// Concurrency bounds the calls in flight, also those to an upstream: a call has one place, whatever its attempts.
type Concurrency struct {
	Max          int       `yaml:"max" min:"1" max:"1000000" doc:"Calls in flight; required."`
	Queue        int       `yaml:"queue" default:"0" min:"0" max:"1000000" doc:"Calls that may wait, first in, first out. 0: none waits."`
	QueueTimeout Duration  `yaml:"queueTimeout" default:"1s" min:"1ms" max:"1h" doc:"How long a call may wait."`
	Adaptive     *Adaptive `yaml:"adaptive" later:"true" doc:"Adjust the limit automatically, instead of max."`
}

// Adaptive is the range of a bound that finds itself.
type Adaptive struct {
	Min int `yaml:"min" default:"10" min:"1" max:"1000000" doc:"Minimum limit."`
	Max int `yaml:"max" default:"2000" min:"1" max:"1000000" doc:"Maximum limit."`
}

// Shed refuses a growing share of the calls when the machine is busy.
type Shed struct {
	CPUAbove Share `yaml:"cpuAbove" required:"true" min:"0.01" max:"1" doc:"Use of the processors above which calls are refused."`
}

// CircuitBreaker stops calls to what fails. At least one of failureRate, consecutiveFailures and slowCallRate is given.
type CircuitBreaker struct {
	Window              Duration `yaml:"window" default:"10s" min:"100ms" max:"1h" doc:"Time over which outcomes count."`
	MinRequests         int      `yaml:"minRequests" default:"20" min:"1" max:"1000000000" doc:"Calls in the window below which the rates do not count."`
	FailureRate         Share    `yaml:"failureRate" min:"0.0001" max:"1" doc:"Ratio of failures at which it opens. Default: does not count."`
	ConsecutiveFailures int      `yaml:"consecutiveFailures" min:"1" max:"1000000000" doc:"Failures in a row at which it opens. Default: do not count."`
	SlowCallDuration    Duration `yaml:"slowCallDuration" min:"1ms" max:"24h" doc:"A call that takes this long or longer is slow, whether its handler, a timeout or its caller ends it."`
	SlowCallRate        Share    `yaml:"slowCallRate" min:"0.0001" max:"1" doc:"Ratio of slow calls at which it opens; needs slowCallDuration. Default: does not count."`
	OpenTimeout         Duration `yaml:"openTimeout" default:"5s" min:"1ms" max:"24h" doc:"How long it stays open before it probes."`
	HalfOpenRequests    int      `yaml:"halfOpenRequests" default:"3" min:"1" max:"1000000" doc:"Probe calls when half-open; all must succeed."`
	Scope               string   `yaml:"scope" enum:"method,endpoint,upstream" doc:"What has a breaker of its own; endpoint and upstream need match.upstream. Default: method on a server, endpoint on a client."`
	FailOn              []string `yaml:"failOn" default:"UNAVAILABLE,DEADLINE_EXCEEDED,INTERNAL" pattern:"code" doc:"Codes that are failures. Never one: a cancelled call, a refusal by a rule, a deadline that the caller set shorter than the rules of this host do."`
}

// What has a breaker of its own.
const (
	ScopeMethod   = "method"
	ScopeEndpoint = "endpoint"
	ScopeUpstream = "upstream"
)

// Retry sends failed calls again: those that are idempotent, or were provably not run.
type Retry struct {
	MaxAttempts    int      `yaml:"maxAttempts" default:"3" min:"2" max:"100" doc:"Attempts, the first included."`
	PerTryTimeout  Duration `yaml:"perTryTimeout" min:"1ms" max:"24h" doc:"How long one attempt may take; one that takes longer perhaps ran, and is sent again if it is idempotent. Default: as long as the call."`
	InitialBackoff Duration `yaml:"initialBackoff" default:"20ms" min:"1ms" max:"1h" doc:"The longest pause before the second attempt; it doubles with each attempt. The pause is drawn evenly from 0 up to it."`
	MaxBackoff     Duration `yaml:"maxBackoff" default:"500ms" min:"1ms" max:"1h" doc:"The longest pause before any attempt, unless the peer asks for a longer one."`
	RetryOn        []string `yaml:"retryOn" default:"UNAVAILABLE" pattern:"code" doc:"Codes that are tried again."`
	FailMode       string   `yaml:"failMode" default:"failover" enum:"failover,failtry,failfast" doc:"failover: at another endpoint while there is one; failtry: at the same one; failfast: not at all."`
	Budget         Share    `yaml:"budget" default:"20%" min:"0.01" max:"1" doc:"Ratio of the calls of the last 10s that may be retries, hedges included; 10 in 10s are always allowed."`
}

// What a retry does after a failure.
const (
	Failover = "failover"
	Failtry  = "failtry"
	Failfast = "failfast"
)

// Hedge sends slow calls a second time, and takes the answer that comes first.
type Hedge struct {
	Delay       Duration `yaml:"delay" required:"true" min:"1ms" max:"1h" doc:"Time after which a second attempt is sent."`
	MaxAttempts int      `yaml:"maxAttempts" default:"2" min:"2" max:"10" doc:"Attempts, the first included."`
	Methods     Patterns `yaml:"methods" required:"true" pattern:"glob" doc:"Methods that it applies to; only idempotent calls are sent twice."`
}

// OutlierDetection leaves out endpoints that fail, under Envoy's names.
type OutlierDetection struct {
	ConsecutiveFailures int      `yaml:"consecutiveFailures" default:"5" min:"1" max:"1000000000" doc:"Failures in a row at which an endpoint is ejected."`
	Interval            Duration `yaml:"interval" default:"10s" min:"1ms" max:"24h" doc:"Each interval in use without an ejection takes one ejection off the count, so that the next is shorter."`
	BaseEjectionTime    Duration `yaml:"baseEjectionTime" default:"30s" min:"1ms" max:"24h" doc:"How long the first ejection is; the second is twice as long, and so on."`
	MaxEjectionTime     Duration `yaml:"maxEjectionTime" default:"5m" min:"1ms" max:"24h" doc:"How long an ejection is at most."`
	MaxEjectionPercent  int      `yaml:"maxEjectionPercent" default:"50" min:"1" max:"100" doc:"Percentage of the endpoints that may be ejected at a time; one always stays."`
}

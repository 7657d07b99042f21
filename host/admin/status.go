package admin

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// Status is the state of a host: the configuration in its files, the one in force, and the result of the last attempt
// to apply the files.
type Status struct {
	Host           string                  `json:"host"`
	Version        string                  `json:"version"`
	StartedAt      time.Time               `json:"started_at"`
	UptimeSeconds  float64                 `json:"uptime_seconds"`
	Ready          bool                    `json:"ready"`
	Draining       bool                    `json:"draining"`          // the process is about to end
	Drained        *Drained                `json:"drained,omitempty"` // by command; nil: it is not
	Checks         []Check                 `json:"checks"`
	Policies       Policies                `json:"policies"`
	Watch          Watch                   `json:"watch"`
	PendingRestart []Pending               `json:"pending_restart"`
	Listeners      []Listener              `json:"listeners"`
	NotAccepting   []AcceptTrouble         `json:"not_accepting"`
	Budget         Budget                  `json:"budget"`
	Services       []ServiceStatus         `json:"services"`
	Breakers       []policies.BreakerStats `json:"breakers"`
	Limiters       []policies.LimiterStats `json:"limiters"`
	Upstreams      []Upstream              `json:"upstreams"`
	Discovery      []Discovery             `json:"discovery"`
	KeySource      *KeySource              `json:"key_source,omitempty"` // nil: no URL has keys of signed tokens
	Overrides      []Override              `json:"overrides"`
	Expiring       []Expiry                `json:"expiring"`
	ExpiringMore   int                     `json:"expiring_more,omitempty"` // that are not in expiring
	Warnings       config.Problems         `json:"warnings"`
}

// KeySource is the URL that serves the keys of signed tokens.
type KeySource struct {
	URL       string    `json:"url"`
	Keys      int       `json:"keys"`                // in use
	FetchedAt time.Time `json:"fetched_at,omitzero"` // the last time that it delivered keys
	Error     string    `json:"error,omitempty"`     // of the last fetch
}

// Expiry describes a rule or a token that has expired, or will within seven days, or a certificate within 14.
type Expiry struct {
	Rule        string    `json:"rule,omitempty"`
	Caller      string    `json:"caller,omitempty"`      // of a token
	Operator    string    `json:"operator,omitempty"`    // of an admin token
	Certificate string    `json:"certificate,omitempty"` // its file
	Kinds       []string  `json:"kinds,omitempty"`
	Mode        string    `json:"mode,omitempty"`
	At          time.Time `json:"at"`
	Expired     bool      `json:"expired"`
	Opens       bool      `json:"opens,omitempty"` // calls that it refused are allowed
	Effect      string    `json:"effect"`
	Position    string    `json:"position,omitempty"` // file:line
}

// Policies is the state of the configuration.
type Policies struct {
	Desired     Desired     `json:"desired"`
	Running     Running     `json:"running"`
	LastAttempt LastAttempt `json:"last_attempt"`
	InSync      bool        `json:"in_sync"`             // the host runs the configuration in the files
	Waiting     string      `json:"waiting,omitempty"`   // reason why the files are not applied yet
	Held        string      `json:"held,omitempty"`      // reason why the files are not applied: they were rolled back, or replaced by a command
	RevertAt    time.Time   `json:"revert_at,omitzero"`  // when the host goes back to the revision before, unless this one is confirmed
	Pinned      string      `json:"pinned_to,omitempty"` // hash of the files in place of which the running revision stays; empty if the files run
	Observed    *Observed   `json:"observed,omitempty"`
	Fallback    *Fallback   `json:"stand_in,omitempty"`
}

// Fallback describes the configuration that runs in place of invalid files.
type Fallback struct {
	What     string          `json:"what"` // fallback
	Mend     []string        `json:"mend"` // the invalid files
	Problems config.Problems `json:"problems"`
}

// Desired describes the configuration in the files.
type Desired struct {
	Hash  string   `json:"hash"`
	Files []string `json:"files,omitempty"`
}

// Running describes the configuration in force.
type Running struct {
	Revision  int       `json:"revision"`
	Hash      string    `json:"hash"`
	AppliedAt time.Time `json:"applied_at"`
	Source    string    `json:"source"`
	Why       string    `json:"why,omitempty"`
	Rules     int       `json:"rules"`
	Changes   Changes   `json:"changes,omitempty"`  // of the edit that it was applied with
	Forecast  *Forecast `json:"forecast,omitempty"` // of that edit
}

// LastAttempt shows the last attempt in the status.
type LastAttempt struct {
	At       time.Time       `json:"at,omitzero"`
	Source   string          `json:"source,omitempty"`
	Result   string          `json:"result,omitempty"` // a Result constant
	Revision int             `json:"revision,omitempty"`
	Hash     string          `json:"hash,omitempty"`
	Error    string          `json:"error,omitempty"` // reason for the failure, unless Problems has it
	Problems config.Problems `json:"problems,omitempty"`
	Changes  Changes         `json:"changes,omitempty"` // if it was applied
}

// Seconds is a duration whose JSON is a number of seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var n float64
	err := json.Unmarshal(data, &n)
	*s = Seconds(n * float64(time.Second))
	return err
}

// Changes are the changes of an attempt. In JSON, a position is file:line, and text is all of a change in one line.
type Changes config.Changes

// Class returns the strongest class among the changes.
func (c Changes) Class() config.Class { return config.Changes(c).Class() }

// Signed returns one line for each change, after its signs.
func (c Changes) Signed() []string { return config.Changes(c).Signed() }

// Lines returns one line for each change.
func (c Changes) Lines() []string { return config.Changes(c).Lines() }

// String returns the changes in one line.
func (c Changes) String() string { return config.Changes(c).String() }

// change is the JSON form of a config.Change.
type change struct {
	Subject  string        `json:"subject"`
	Path     string        `json:"path,omitempty"`
	Old      string        `json:"old,omitempty"`
	New      string        `json:"new,omitempty"`
	Op       config.Op     `json:"op"`
	Effect   config.Effect `json:"effect"`
	Class    config.Class  `json:"class"`
	Position string        `json:"position,omitempty"`
	Text     string        `json:"text"`
}

// MarshalJSON implements json.Marshaler.
func (c Changes) MarshalJSON() ([]byte, error) {
	var list []change
	for _, x := range c {
		list = append(list, change{x.Subject, x.Path, x.Old, x.New, x.Op, x.Effect, x.Class, x.Position.String(), x.Text})
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Changes) UnmarshalJSON(data []byte) error {
	var list []change
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*c = make(Changes, len(list))
	for i, x := range list {
		at := config.Position{File: x.Position}
		if colon := strings.LastIndexByte(x.Position, ':'); colon >= 0 {
			if n, err := strconv.Atoi(x.Position[colon+1:]); err == nil {
				at = config.Position{File: x.Position[:colon], Line: n}
			}
		}
		(*c)[i] = config.Change{
			Subject: x.Subject, Path: x.Path, Old: x.Old, New: x.New, Text: x.Text, Op: x.Op, Effect: x.Effect, Class: x.Class, Position: at,
		}
	}
	return nil
}

// Watch is the health of file watching.
type Watch struct {
	Mode        string          `json:"mode,omitempty"` // events, poll, off
	Healthy     bool            `json:"healthy"`
	Error       string          `json:"error,omitempty"`
	Directories []string        `json:"directories,omitempty"`
	Mounted     config.Problems `json:"mounted,omitempty"` // files that changes do not reach, because of how they are mounted
}

// Pending is a setting that takes effect at the next start.
type Pending struct {
	Field    string `json:"field"`
	Running  string `json:"running,omitempty"`
	Desired  string `json:"desired,omitempty"`
	Position string `json:"position,omitempty"` // file:line
}

// AcceptTrouble describes a listener that does not accept connections, or did not within the last seconds. A listener with
// too_many_connections accepts new ones and closes others for them.
type AcceptTrouble struct {
	Listener string    `json:"listener"` // admin and health too
	Reason   string    `json:"reason"`   // no_descriptors, too_many_connections, accept_failed
	Since    time.Time `json:"since"`
	Count    uint64    `json:"count"` // of connections not accepted or closed since then
}

// Budget is the usage of the limits of the host by all callers together (host.limits).
type Budget struct {
	InFlight         int64  `json:"in_flight"`
	MaxInFlight      int64  `json:"max_in_flight"`
	BufferedBytes    int64  `json:"buffered_bytes"`
	MaxBufferedBytes int64  `json:"max_buffered_bytes"`
	Refused          uint64 `json:"refused"` // calls, since the start
}

// Listener is one address that the host listens on.
type Listener struct {
	Name        string   `json:"name"`
	Address     string   `json:"address"` // as bound: with the port that the system chose
	Protocols   []string `json:"protocols"`
	Connections int      `json:"connections"`
	Local       bool     `json:"local"` // reachable from this machine only
	TLS         bool     `json:"tls,omitempty"`
}

// ServiceStatus is the state of a service; Service describes its methods.
type ServiceStatus struct {
	Name     string         `json:"name"`
	Handler  string         `json:"handler"`
	Aliases  []string       `json:"aliases,omitempty"`
	Methods  []MethodStatus `json:"methods"`
	Ready    bool           `json:"ready"`
	Detail   string         `json:"detail,omitempty"` // why it is not ready
	InFlight int            `json:"in_flight"`
}

// Check is one condition of readiness. Detail may expose internals: status shows it, and /readyz, which needs no
// token, does not.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning string `json:"warning,omitempty"` // what is wrong although it is OK, such as a broken rule
	Detail  string `json:"detail,omitempty"`
}

// Readiness is the response of /readyz; Checks has the failed ones, or all with ?verbose.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks,omitempty"`
}

// Upstream is a service that handlers of the host call.
type Upstream struct {
	Name      string     `json:"name"`
	Service   string     `json:"service"`
	Resolve   string     `json:"resolve"`         // how its endpoints are resolved: etcd main, dns billing:8972
	Error     string     `json:"error,omitempty"` // why the endpoints may be outdated
	Called    bool       `json:"called"`          // endpoints are resolved at the first call
	Endpoints []Endpoint `json:"endpoints"`
	More      int        `json:"more,omitempty"` // endpoints that are not shown

	Methods     []MethodStatus `json:"methods"` // called within the last minute
	MethodsMore int            `json:"methods_more,omitempty"`
}

// Endpoint is an address at which a service is served.
type Endpoint struct {
	Address        string  `json:"address"`
	State          string  `json:"state"` // ready, idle, connecting, backoff, draining; stale if discovery no longer lists it; ejected by a rule; live if nothing else is known
	Host           string  `json:"host,omitempty"`
	InFlight       int     `json:"in_flight"`
	LatencySeconds float64 `json:"latency_seconds,omitempty"`
	Error          string  `json:"error,omitempty"` // why it is not connected, or ejected
}

// Discovery is the state of a cluster in which services are published and found.
type Discovery struct {
	Name            string       `json:"name"`
	Connected       bool         `json:"connected"`
	Since           time.Time    `json:"since,omitzero"` // when it was connected or disconnected
	Error           string       `json:"error,omitempty"`
	Registers       bool         `json:"registers"` // this host publishes itself there
	Registered      bool         `json:"registered"`
	RegisteredSince time.Time    `json:"registered_since,omitzero"`
	Lease           string       `json:"lease,omitempty"`
	Duplicate       string       `json:"twin,omitempty"` // the address of another live host of the same name
	Instances       []Instance   `json:"instances"`
	Services        []Discovered `json:"services"`
	More            int          `json:"more,omitempty"` // services that are not shown
	LeftOut         []LeftOut    `json:"left_out"`       // endpoints that are ignored, the first of them
	LeftOutMore     int          `json:"left_out_more,omitempty"`
}

// LeftOut is an endpoint that is ignored, since allowEndpoints does not allow its kind of address.
type LeftOut struct {
	Service string `json:"service"`
	Address string `json:"address"`
	Kind    string `json:"kind"` // loopback, linkLocal, unix
}

// Instance is a service of the host as published.
type Instance struct {
	Service  string            `json:"service"`
	Address  string            `json:"address"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Discovered is a service that was found.
type Discovered struct {
	Service   string     `json:"service"`
	Endpoints []Endpoint `json:"endpoints"`
	More      int        `json:"more,omitempty"`
}

// Explanation shows which rules apply to a call of one method by one caller.
type Explanation struct {
	policies.Explanation
	Fallback  *Fallback  `json:"stand_in,omitempty"`
	Overrides []Override `json:"overrides,omitempty"` // that concern the call
	Around    []string   `json:"around,omitempty"`    // interceptors, in the order in which they run
}

// RuleExplanation is a rule as it was in a revision.
type RuleExplanation struct {
	Revision  int                `json:"revision"`
	AppliedAt time.Time          `json:"applied_at,omitzero"`
	Rule      policies.RuleState `json:"rule"`
	Text      string             `json:"text,omitempty"`   // as written, YAML
	Status    string             `json:"status,omitempty"` // in force, changed in r44, removed in r45
}

// Refusal is a call that the host refused or ended, incoming or to an upstream, or several similar ones within a second.
// At, State and Trace describe the first. If a caller has more different refusals in a second than are kept
// apart, the rest are one Refusal with Various set, without upstream, service, method, peer and key.
type Refusal struct {
	At       time.Time `json:"at"`
	Count    int       `json:"count"`
	Various  bool      `json:"various,omitempty"`
	Shadow   bool      `json:"shadow,omitempty"`   // it was allowed, and would be refused if its rule were enforced
	Upstream string    `json:"upstream,omitempty"` // that was called, under client-side rules
	Service  string    `json:"service"`
	Method   string    `json:"method"`
	Caller   string    `json:"caller"`
	Peer     string    `json:"peer,omitempty"`
	Key      string    `json:"key,omitempty"` // of a rate limit, such as metadata.tenant=acme
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule,omitempty"` // name@r42
	Kind     string    `json:"kind,omitempty"`
	Position string    `json:"position,omitempty"` // file:line
	State    string    `json:"state,omitempty"`    // at that time
	Trace    string    `json:"trace,omitempty"`
}

package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Sources of attempts that change overrides.
const (
	SourceOverride = "override"
	SourceExpiry   = "expiry"
)

// Actions of overrides.
const (
	ActionLimit    = "limit"
	ActionBlock    = "block"
	ActionOverride = "override"
	ActionBypass   = "bypass"
	ActionBreaker  = "breaker"
)

// MaxOverride is the longest time of an override.
const MaxOverride = 7 * 24 * time.Hour

// OverrideRequest is a request for a rule, a value, a bypass or the state of breakers that ends by itself. An override of the same name is replaced.
type OverrideRequest struct {
	Action  string  `json:"-"`
	Method  string  `json:"method,omitempty"` // limit, block: SERVICE.METHOD, SERVICE.* or *
	Caller  string  `json:"caller,omitempty"` // limit, block
	Peer    string  `json:"peer,omitempty"`   // limit, block: an address or a network
	Rate    string  `json:"rate,omitempty"`   // limit: such as 5/s
	Rule    string  `json:"rule,omitempty"`   // override
	Field   string  `json:"field,omitempty"`  // override: such as rateLimit.rate
	Value   string  `json:"value,omitempty"`  // override: YAML
	Kind    string  `json:"kind,omitempty"`   // bypass
	Breaker string  `json:"-"`                // breaker: RULE, RULE/METHOD, RULE/ENDPOINT or RULE/UPSTREAM
	State   string  `json:"-"`                // breaker: BreakerOpen or BreakerClosed
	For     Seconds `json:"for_seconds"`
	Message string  `json:"message,omitempty"`

	Who string `json:"-"` // the address or the name of the client
}

// Override is a rule, a value, a bypass or the state of breakers in force in addition to the files, until its end. Edits of the files do not change it,
// unless they add a rule of its name or are not valid with it.
type Override struct {
	Name   string    `json:"name"`
	Action string    `json:"action"`
	Text   string    `json:"text"` // what it does
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Who    string    `json:"who,omitempty"`
	Why    string    `json:"why,omitempty"`

	Rule    string `json:"rule,omitempty"`   // limit, block: the rule, in YAML, as it may be put in a policy file
	Target  string `json:"target,omitempty"` // override, breaker: the name of the rule
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"`
	Kind    string `json:"kind,omitempty"`    // bypass
	Breaker string `json:"breaker,omitempty"` // breaker: the target as BreakerStats has it; empty: all breakers of the rule
	State   string `json:"state,omitempty"`   // breaker: open or closed
}

// OverrideResult is an override that was put in force or dropped, with the revision that did it.
type OverrideResult struct {
	Override Override `json:"override"`
	Revision Attempt  `json:"revision"`
}

// overrideRoutes are the paths of overrides.
func overrideRoutes(h Host) []route {
	routes := []route{
		{
			method: http.MethodGet, path: "/api/v1/override", serve: func(r *http.Request, _ params) (any, error) {
				list, err := h.Overrides(r.Context())
				return named("overrides", list), err
			},
			post: overrideBy(h, ActionOverride),
		},
		{
			method: http.MethodPost, path: "/api/v1/override/{name}/drop", serve: func(r *http.Request, _ params) (any, error) {
				return h.DropOverride(r.Context(), r.PathValue("name"), who(r))
			},
		},
	}
	for _, action := range []string{ActionLimit, ActionBlock, ActionBypass} {
		routes = append(routes, route{method: http.MethodPost, path: "/api/v1/" + action, serve: overrideBy(h, action)})
	}
	return routes
}

// overrideBy serves requests for an action.
func overrideBy(h Host, action string) func(r *http.Request, _ params) (any, error) {
	return func(r *http.Request, _ params) (any, error) {
		return putOverride(r, h, OverrideRequest{Action: action})
	}
}

// putOverride puts an override in force as the body of a request describes it.
func putOverride(r *http.Request, h Host, q OverrideRequest) (any, error) {
	q.Who = who(r)
	if err := readBody(r, &q, maxText); err != nil {
		return nil, err
	}
	if d := time.Duration(q.For); d < time.Second || d > MaxOverride {
		return nil, badValue("for_seconds", strconv.FormatFloat(d.Seconds(), 'f', -1, 64), fmt.Sprintf("from 1 to %.0f", MaxOverride.Seconds()))
	}
	if q.Action == ActionBlock && q.Caller == "" && q.Peer == "" {
		return nil, Errorf(CodeBadRequest, "block needs caller or peer").WithHelp(`to refuse all callers, use caller "*"`)
	}
	return h.Override(r.Context(), q)
}

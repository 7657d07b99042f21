// Package admin is the API for operators of a host: its types, the HTTP handler and the client. All JSON keys are
// snake_case; a missing key means the zero value.
package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/easymicro/easymicro/policies"
)

// Host is what a handler needs of a host. An *Error is sent to the client unchanged; any other error is logged and sent
// as an internal error without its text.
type Host interface {
	Status(ctx context.Context) (*Status, error)
	Services(ctx context.Context) ([]Service, error)
	Rules(ctx context.Context) ([]policies.RuleState, error)
	Explain(ctx context.Context, q ExplainQuery) (*Explanation, error)
	// ExplainRule returns a rule as it was in a revision; revision 0 is the one in force.
	ExplainRule(ctx context.Context, name string, revision int) (*RuleExplanation, error)
	Revisions(ctx context.Context) ([]Attempt, error) // the newest first
	Revision(ctx context.Context, number int) (*Attempt, error)
	Refusals(ctx context.Context, q RefusalQuery) ([]Refusal, error) // the newest first
	Reload(ctx context.Context, r ReloadRequest) (*Attempt, error)
	// Checks returns the conditions of readiness; the host is ready when all are OK.
	Checks(ctx context.Context) []Check
	Metrics() http.Handler
}

// ExplainQuery is a call to explain: of a service or, if Upstream is set, to an upstream. An empty Caller is
// "anonymous"; the zero Peer is unknown.
type ExplainQuery struct {
	Service, Method, Caller string
	Upstream                string
	Peer                    netip.Addr
}

// RefusalQuery filters refusals; zero fields match all.
type RefusalQuery struct {
	Caller string
	Since  time.Time
}

// ReloadRequest is a request to reload. Who is the address or the name of the client; Force applies unchanged files too.
type ReloadRequest struct {
	Who   string
	Force bool
}

// Package admin shows and steers a host over HTTP: the answers of its API as types, the handler that gives them over a
// small interface of the host, and the client that reads them. All JSON keys are snake_case; a missing key is the zero
// value.
package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/easymicro/easymicro/policies"
)

// Host is what the handler asks. Errors that are an *Error reach the client as they are; any other is told as an
// internal error without its text, which only Options.Logger sees.
type Host interface {
	Status(ctx context.Context) (*Status, error)
	Services(ctx context.Context) ([]Service, error)
	Rules(ctx context.Context) ([]policies.RuleState, error)
	Explain(ctx context.Context, q ExplainQuery) (*Explanation, error)
	// ExplainRule is a rule as it was in a revision; revision 0 is the one in force.
	ExplainRule(ctx context.Context, name string, revision int) (*RuleExplanation, error)
	Revisions(ctx context.Context) ([]Revision, error) // the newest first
	Revision(ctx context.Context, number int) (*Revision, error)
	Refusals(ctx context.Context, q RefusalQuery) ([]Refusal, error) // the newest first
	Reload(ctx context.Context, r ReloadRequest) (*Revision, error)
	// Checks are the conditions of readiness; the host is ready when all are OK.
	Checks(ctx context.Context) []Check
	Metrics() http.Handler
}

// ExplainQuery asks what applies to a call: of a service, or by the client of an upstream when that is named instead.
// Caller is "anonymous" when empty; the zero Peer is unknown.
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

// ReloadRequest says who asked for a reload, as an address or a name, and whether unchanged files are applied too.
type ReloadRequest struct {
	Who   string
	Force bool
}

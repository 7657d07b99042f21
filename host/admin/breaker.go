package admin

import (
	"net/http"
	"net/url"

	"github.com/easymicro/easymicro/policies"
)

// What can be done to a breaker. The first two are overrides.
const (
	BreakerOpen   = "open"
	BreakerClosed = "closed"
	BreakerReset  = "reset"
)

// Breaker is a circuit breaker of a rule in force.
type Breaker struct {
	Name     string `json:"name"`               // RULE/METHOD, RULE/ENDPOINT or RULE/UPSTREAM
	Override string `json:"override,omitempty"` // that keeps it open or closed
	policies.BreakerStats
}

// breakerRoutes are the paths of breakers.
func breakerRoutes(h Host) []route {
	return []route{
		{
			method: http.MethodGet, path: "/api/v1/breakers", params: []string{"name"}, serve: func(r *http.Request, p params) (any, error) {
				list, err := h.Breakers(r.Context(), p["name"])
				return named("breakers", list), err
			},
		},
		{
			method: http.MethodPost, path: "/api/v1/breakers/{name}/{state}", serve: func(r *http.Request, _ params) (any, error) {
				switch state := r.PathValue("state"); state {
				case BreakerOpen, BreakerClosed:
					return putOverride(r, h, OverrideRequest{Action: ActionBreaker, Breaker: r.PathValue("name"), State: state})
				case BreakerReset:
					return resetBreaker(r, h)
				default:
					return nil, Errorf(CodeNotFound, "a breaker cannot be %s", shown(state)).WithHelp("want open, closed or reset")
				}
			},
		},
	}
}

// resetRequest is the body of a request to reset breakers.
type resetRequest struct {
	Message string `json:"message,omitempty"`
}

func resetBreaker(r *http.Request, h Host) (any, error) {
	var q resetRequest
	if err := readBody(r, &q, maxText); err != nil {
		return nil, err
	}
	list, err := h.ResetBreaker(r.Context(), r.PathValue("name"), who(r), q.Message)
	return named("breakers", list), err
}

// breakerPath returns the path that changes a breaker.
func breakerPath(name, state string) string {
	return "/api/v1/breakers/" + url.PathEscape(name) + "/" + state
}

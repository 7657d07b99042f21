package admin

import (
	"net/http"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Shadow is what rules that are not enforced for all calls would have done.
type Shadow struct {
	Rules []ShadowRule `json:"rules"` // those that would have refused most calls first
	More  int          `json:"more,omitempty"`
}

// ShadowRule is what one kind of a rule that is not enforced, or only for a share of the callers, would have done to the calls of a
// method. A retry, a hedge or outlierDetection would have sent calls again or ejected endpoints; the other kinds would have refused
// calls or ended them.
type ShadowRule struct {
	Rule         string         `json:"rule"`
	Kind         config.Kind    `json:"kind"`
	Mode         config.Mode    `json:"mode"`
	EnforceShare string         `json:"enforce_share,omitempty"` // "10%": the rule is enforced for these callers
	Position     string         `json:"position"`                // file:line
	Revision     int            `json:"revision"`                // since which the rule is as it is
	Since        time.Time      `json:"since"`                   // when counting began
	Method       string         `json:"method,omitempty"`        // Service/Method; empty if no call was decided
	Calls        uint64         `json:"calls"`                   // decided
	WouldRefuse  uint64         `json:"would_refuse"`
	Refused      uint64         `json:"refused,omitempty"` // with EnforceShare
	Share        float64        `json:"share"`             // of the calls that would be refused if the rule were enforced for all callers
	Callers      []ShadowCaller `json:"callers"`           // with most calls first
	Others       uint64         `json:"others,omitempty"`  // calls of other callers that would have been refused
}

// ShadowCaller is a caller whose calls would have been refused.
type ShadowCaller struct {
	Caller      string  `json:"caller"`
	WouldRefuse uint64  `json:"would_refuse"`
	Share       float64 `json:"share"` // of all calls decided
}

// shadowRoute is the path of Shadow.
func shadowRoute(h Host) route {
	return route{method: http.MethodGet, path: "/api/v1/shadow", serve: func(r *http.Request, _ params) (any, error) {
		s, err := h.Shadow(r.Context())
		if err != nil {
			return nil, err
		}
		fill(s)
		return s, nil
	}}
}

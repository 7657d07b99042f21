package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// MaxRequestBytes bounds the body of a request: the largest set, and room for what JSON escapes.
const MaxRequestBytes = 40 << 20

// maxRevertAfter bounds ApplyRequest.RevertAfter.
const maxRevertAfter = 24 * time.Hour

// ApplyRequest is a request to put policy files in force, or to enforce a rule, without writing files.
type ApplyRequest struct {
	Files       []ApplyFile `json:"files,omitempty"`   // they replace policy files of the same name, or are new
	Promote     *Promotion  `json:"promote,omitempty"` // instead of files
	Prune       bool        `json:"prune,omitempty"`   // the other policy files are left out
	AllowWider  bool        `json:"allow_wider,omitempty"`
	Force       bool        `json:"force,omitempty"`                // whatever the forecast is; the edit is still observed
	RevertAfter Seconds     `json:"revert_after_seconds,omitempty"` // the host goes back unless it is confirmed in that time; 0 keeps the revision
	Message     string      `json:"message,omitempty"`

	// RecordRejection has a plan that is rejected recorded like an apply, since it is the first step of one.
	RecordRejection bool `json:"record_rejection,omitempty"`

	IfMatch    string `json:"-"` // hash of what must be running; empty: anything
	Who        string `json:"-"` // the address or the name of the client
	Unreadable error  `json:"-"` // why the body cannot be read: the request is rejected, and that is recorded; nil: it can
}

// ApplyFile is a policy file. Only the last element of its path counts, unless the host has several files of that name.
type ApplyFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Promotion enforces a rule that is in shadow, or that is enforced for a smaller share of the callers.
type Promotion struct {
	Rule         string `json:"rule"`
	EnforceShare string `json:"enforce_share,omitempty"` // such as 10%; empty: for all callers
}

// RollbackRequest is a request to put a revision in force again.
type RollbackRequest struct {
	Revision   int    `json:"-"`
	AllowWider bool   `json:"allow_wider,omitempty"`
	Message    string `json:"message,omitempty"`

	IfMatch string `json:"-"` // hash of what must be running; empty: anything
	Who     string `json:"-"` // the address or the name of the client
}

// maxText bounds a message and other texts beside files, and a body without files: the history, the log and the audit log have them.
const maxText = 16 << 10

// readBody decodes the JSON body of a request, of at most limit bytes. An empty one leaves v as it is.
func readBody(r *http.Request, v any, limit int64) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, limit))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case err == nil && d.More():
		return Errorf(CodeBadRequest, "the body has more than one JSON value")
	case err == nil || r.ContentLength == 0:
		return nil
	case errors.As(err, &tooLarge):
		e := Errorf(CodeBadRequest, "the body is too large")
		if limit == MaxRequestBytes {
			return e.WithHelp("a set has at most 16 MiB")
		}
		return e.WithHelp("it may have %d KiB", limit>>10)
	default:
		return Errorf(CodeBadRequest, "the body cannot be read: %v", err)
	}
}

// ifMatch returns the hash in If-Match; empty if there is none, or if it is *.
func ifMatch(r *http.Request) string {
	hash := strings.Trim(r.Header.Get("If-Match"), `" `)
	if hash == "*" {
		return ""
	}
	return hash
}

// textBytes returns the length of the texts beside files.
func (q *ApplyRequest) textBytes() int {
	n := len(q.Message)
	if q.Promote != nil {
		n += len(q.Promote.Rule) + len(q.Promote.EnforceShare)
	}
	return n
}

// readApply reads the request of an apply or of a plan.
func readApply(r *http.Request) (ApplyRequest, error) {
	q := ApplyRequest{IfMatch: ifMatch(r), Who: who(r)}
	if err := readBody(r, &q, MaxRequestBytes); err != nil {
		return ApplyRequest{IfMatch: q.IfMatch, Who: q.Who}, err
	}
	if q.textBytes() > maxText {
		return ApplyRequest{IfMatch: q.IfMatch, Who: q.Who}, Errorf(CodeBadRequest, "the message is too long").WithHelp("it may have %d KiB", maxText>>10)
	}
	if q.Promote != nil && (len(q.Files) > 0 || q.Prune) {
		return q, Errorf(CodeBadRequest, "promote excludes files and prune")
	}
	if d := time.Duration(q.RevertAfter); d < 0 || d > maxRevertAfter {
		return q, badValue("revert_after_seconds", d.String(), "at most "+maxRevertAfter.String())
	}
	return q, nil
}

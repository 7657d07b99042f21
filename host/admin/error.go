package admin

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/easymicro/easymicro/config"
)

// Codes of the errors of the API.
const (
	CodeBadRequest       = "bad_request"
	CodeUnauthenticated  = "unauthenticated"
	CodeForbidden        = "forbidden"
	CodeNotFound         = "not_found"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeConflict         = "conflict"
	CodeStale            = "stale"    // the host no longer runs what the request was made for
	CodeRejected         = "rejected" // the files were rejected; Problems has the reasons
	CodeForecast         = "forecast" // the edit would refuse too many of the calls of the last five minutes, and the request has no force
	CodeUnavailable      = "unavailable"
	CodeInternal         = "internal"
)

var codeStatus = map[string]int{
	CodeBadRequest:       http.StatusBadRequest,
	CodeUnauthenticated:  http.StatusUnauthorized,
	CodeForbidden:        http.StatusForbidden,
	CodeNotFound:         http.StatusNotFound,
	CodeMethodNotAllowed: http.StatusMethodNotAllowed,
	CodeConflict:         http.StatusConflict,
	CodeStale:            http.StatusPreconditionFailed,
	CodeRejected:         http.StatusUnprocessableEntity,
	CodeForecast:         http.StatusConflict,
	CodeUnavailable:      http.StatusServiceUnavailable,
	CodeInternal:         http.StatusInternalServerError,
}

// Error is an error of the API, as application/problem+json (RFC 9457).
type Error struct {
	Type     string          `json:"type"`
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Code     string          `json:"code"`
	Detail   string          `json:"detail"`
	Help     string          `json:"help,omitempty"` // what to do about it
	Problems config.Problems `json:"problems,omitempty"`
}

// Errorf returns an error; the code determines the HTTP status.
func Errorf(code, format string, args ...any) *Error {
	status := cmp.Or(codeStatus[code], http.StatusInternalServerError)
	return &Error{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...),
	}
}

// WithHelp sets what to do about the error and returns it.
func (e *Error) WithHelp(format string, args ...any) *Error {
	e.Help = fmt.Sprintf(format, args...)
	return e
}

// WithProblems sets the problems found and returns the error.
func (e *Error) WithProblems(p config.Problems) *Error {
	e.Problems = p
	return e
}

// Error returns the detail and the help.
func (e *Error) Error() string {
	if e.Help == "" {
		return e.Detail
	}
	return e.Detail + " (" + e.Help + ")"
}

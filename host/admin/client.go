package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/policies"
)

const (
	// DefaultAddress is the default of admin.address.
	DefaultAddress = "127.0.0.1:8970"

	clientTimeout  = 30 * time.Second
	maxAnswerBytes = 64 << 20
)

// Client calls the admin API of a host. Its methods return an *UnreachableError without a response, and an *Error
// if the response is an error. The zero value uses DefaultAddress. It is safe for concurrent use.
type Client struct {
	Address string // host:port, tcp://host:port, http://, https://, or unix:///path
	Token   string
	TLS     *tls.Config   // for https://, and for unix:// if the listener uses TLS; nil: the default, none for unix://
	Timeout time.Duration // per request; default 30s
}

// UnreachableError is the error of a request without a response.
type UnreachableError struct {
	Address string
	Err     error
}

// Error returns the address and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach the host's admin listener at %s: %v", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// CodeUnexpected is the code of the *Error for a response that is not one of an admin listener.
const CodeUnexpected = "unexpected_answer"

// Status returns the state of the host.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "/api/v1/status", nil)
}

// Services returns the services of the host, with their methods.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return list[Service](ctx, c, "services", nil)
}

// Rules returns the rules in force.
func (c *Client) Rules(ctx context.Context) ([]policies.RuleState, error) {
	return list[policies.RuleState](ctx, c, "rules", nil)
}

// Explain returns the rules that apply to a call.
func (c *Client) Explain(ctx context.Context, q ExplainQuery) (*Explanation, error) {
	v := url.Values{"method": {q.Method}}
	if q.Upstream != "" {
		v.Set("upstream", q.Upstream)
	} else {
		v.Set("service", q.Service)
	}
	if q.Caller != "" {
		v.Set("caller", q.Caller)
	}
	if len(q.Identity) > 0 {
		v.Set("identity", claimsParam(q.Identity))
	}
	if q.Peer.IsValid() {
		v.Set("peer", q.Peer.String())
	}
	return get[Explanation](ctx, c, "/api/v1/explain", v)
}

// ExplainRule returns a rule as it was in a revision; 0 is the one in force.
func (c *Client) ExplainRule(ctx context.Context, name string, revision int) (*RuleExplanation, error) {
	v := url.Values{"rule": {name}}
	if revision != 0 {
		v.Set("revision", strconv.Itoa(revision))
	}
	return get[RuleExplanation](ctx, c, "/api/v1/explain", v)
}

// Revisions returns the revisions that the host remembers, the newest first.
func (c *Client) Revisions(ctx context.Context) ([]Attempt, error) {
	return list[Attempt](ctx, c, "revisions", nil)
}

// Revision returns the attempt that made a revision.
func (c *Client) Revision(ctx context.Context, number int) (*Attempt, error) {
	return get[Attempt](ctx, c, "/api/v1/revisions/"+strconv.Itoa(number), nil)
}

// RevisionFiles returns the files of a revision with their texts, the manifest first. Without host.state, a
// host has only those since its start.
func (c *Client) RevisionFiles(ctx context.Context, number int) ([]FileText, error) {
	answer, err := get[struct{ Files []FileText }](ctx, c, "/api/v1/revisions/"+strconv.Itoa(number)+"/files", nil)
	if err != nil {
		return nil, err
	}
	return answer.Files, nil
}

// Refusals returns the last refusals, the newest first.
func (c *Client) Refusals(ctx context.Context, q RefusalQuery) ([]Refusal, error) {
	v := url.Values{}
	if q.Caller != "" {
		v.Set("caller", q.Caller)
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	return list[Refusal](ctx, c, "refusals", v)
}

// Top returns the calls of the last five minutes by caller, method or peer. q.Service and q.Method are set together.
func (c *Client) Top(ctx context.Context, q TopQuery) (*Top, error) {
	v := url.Values{}
	if len(q.By) > 0 {
		v.Set("by", strings.Join(q.By, ","))
	}
	if q.Method != "" {
		v.Set("method", q.Service+"."+q.Method)
	}
	if q.Rows > 0 {
		v.Set("rows", strconv.Itoa(q.Rows))
	}
	return get[Top](ctx, c, "/api/v1/top", v)
}

// Shadow returns what rules in shadow, or enforced for a share of the callers, would have refused.
func (c *Client) Shadow(ctx context.Context) (*Shadow, error) {
	return get[Shadow](ctx, c, "/api/v1/shadow", nil)
}

// Reload makes the host reload its files. If they have problems, the error is an *Error with CodeRejected and the
// problems.
func (c *Client) Reload(ctx context.Context, force bool) (*Attempt, error) {
	v := url.Values{}
	if force {
		v.Set("force", "true")
	}
	var rev Attempt
	return &rev, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/reload", query: v}, &rev)
}

// Plan returns what Apply would change, and changes nothing.
func (c *Client) Plan(ctx context.Context, q ApplyRequest) (*Difference, error) {
	var d Difference
	return &d, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/diff", body: q, ifMatch: q.IfMatch}, &d)
}

// Apply puts policy files in force without writing them. If something else runs than q.IfMatch, the error is an *Error with
// CodeStale; if the files have problems, CodeRejected; if the forecast of the edit exceeds a bound and q.Force is not set,
// CodeForecast.
func (c *Client) Apply(ctx context.Context, q ApplyRequest) (*Attempt, error) {
	var r Attempt
	return &r, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/apply", body: q, ifMatch: q.IfMatch}, &r)
}

// Rollback puts a revision in force again, as a new one.
func (c *Client) Rollback(ctx context.Context, q RollbackRequest) (*Attempt, error) {
	var r Attempt
	return &r, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/rollback/" + strconv.Itoa(q.Revision), body: q, ifMatch: q.IfMatch}, &r)
}

// Override puts a rule, a value or a bypass in force, or keeps breakers open or closed, until its end.
func (c *Client) Override(ctx context.Context, q OverrideRequest) (*OverrideResult, error) {
	var r OverrideResult
	path := "/api/v1/" + q.Action
	if q.Action == ActionBreaker {
		path = breakerPath(q.Breaker, q.State)
	}
	return &r, c.ask(ctx, request{method: http.MethodPost, path: path, body: q}, &r)
}

// DropOverride ends an override.
func (c *Client) DropOverride(ctx context.Context, name string) (*OverrideResult, error) {
	var r OverrideResult
	return &r, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/override/" + url.PathEscape(name) + "/drop"}, &r)
}

// Overrides returns the overrides in force.
func (c *Client) Overrides(ctx context.Context) ([]Override, error) {
	answer, err := get[struct{ Overrides []Override }](ctx, c, "/api/v1/override", nil)
	if err != nil {
		return nil, err
	}
	return answer.Overrides, nil
}

// Breakers returns the circuit breakers of the rules in force: all, or those that a name selects, such as RULE or RULE/METHOD.
func (c *Client) Breakers(ctx context.Context, name string) ([]Breaker, error) {
	v := url.Values{}
	if name != "" {
		v.Set("name", name)
	}
	return list[Breaker](ctx, c, "breakers", v)
}

// ResetBreaker closes the breakers that a name selects, and has them forget what they have counted.
func (c *Client) ResetBreaker(ctx context.Context, name, message string) ([]Breaker, error) {
	var answer struct{ Breakers []Breaker }
	return answer.Breakers, c.ask(ctx, request{method: http.MethodPost, path: breakerPath(name, BreakerReset), body: resetRequest{message}}, &answer)
}

// Confirm keeps the revision that would be undone, and returns it.
func (c *Client) Confirm(ctx context.Context) (*Attempt, error) {
	var r Attempt
	return &r, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/confirm"}, &r)
}

// Config returns the manifest and the rules that the host runs, with their defaults and without secrets.
func (c *Client) Config(ctx context.Context) (*Configuration, error) {
	return get[Configuration](ctx, c, "/api/v1/config", nil)
}

// Drain takes the host out of service: not ready and withdrawn from discovery, but serving.
func (c *Client) Drain(ctx context.Context) (*DrainState, error) {
	var s DrainState
	return &s, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/drain"}, &s)
}

// Undrain takes the host into service again.
func (c *Client) Undrain(ctx context.Context) (*DrainState, error) {
	var s DrainState
	return &s, c.ask(ctx, request{method: http.MethodPost, path: "/api/v1/undrain"}, &s)
}

// Diff returns how the files of the host differ from what it runs. If they have problems, the error is an *Error with
// CodeRejected and the problems.
func (c *Client) Diff(ctx context.Context) (*Difference, error) {
	return get[Difference](ctx, c, "/api/v1/diff", nil)
}

// Ready returns the readiness of the host, with all checks.
func (c *Client) Ready(ctx context.Context) (*Readiness, error) {
	return get[Readiness](ctx, c, "/readyz", url.Values{"verbose": {"true"}})
}

// list returns the list of a path, which has its name.
func list[T any](ctx context.Context, c *Client, name string, query url.Values) ([]T, error) {
	answer, err := get[map[string][]T](ctx, c, "/api/v1/"+name, query)
	if err != nil {
		return nil, err
	}
	return (*answer)[name], nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	var answer T
	if err := c.ask(ctx, request{method: http.MethodGet, path: path, query: query}, &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// request is one request to the API.
type request struct {
	method, path string
	query        url.Values
	body         any // nil: none
	ifMatch      string
}

func (c *Client) ask(ctx context.Context, q request, answer any) error {
	t, err := parseTarget(c.Address)
	if err != nil {
		return &UnreachableError{c.Address, err}
	}
	if t.socket != "" && c.TLS != nil {
		t.base = "https://localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, clientTimeout))
	defer cancel()
	var content bytes.Buffer
	if q.body != nil {
		if err := json.NewEncoder(&content).Encode(q.body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, t.base+q.path, &content)
	if err != nil {
		return &UnreachableError{t.shown, err}
	}
	req.URL.RawQuery = q.query.Encode()
	if q.ifMatch != "" {
		req.Header.Set("If-Match", strconv.Quote(q.ifMatch))
	}
	req.Header.Set("Accept", "application/json")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := t.client(c.TLS).Do(req)
	if err != nil {
		return &UnreachableError{t.shown, cause(err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return &UnreachableError{t.shown, fmt.Errorf("incomplete response: %w", err)}
	}
	return decode(t, res, body, answer)
}

func decode(t target, res *http.Response, body []byte, answer any) error {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case kind == "application/problem+json":
		var e Error
		if json.Unmarshal(body, &e) == nil && e.Code != "" {
			return &e
		}
	case kind == "application/json" && (res.StatusCode == http.StatusOK || res.StatusCode == http.StatusServiceUnavailable):
		if json.Unmarshal(body, answer) == nil {
			return nil
		}
	}
	help := "check that it is the address in admin.address"
	if strings.HasPrefix(string(body), "Client sent an HTTP request to an HTTPS server") { // the text of net/http
		help = "the listener uses TLS: use https://" + t.shown
	}
	return &Error{
		Type: "about:blank", Title: "Unexpected Response", Status: res.StatusCode, Code: CodeUnexpected, Help: help,
		Detail: fmt.Sprintf("%s answered %s, which is not a response of an admin listener", t.shown, strconv.Quote(res.Status)),
	}
}

// cause returns err without the method and URL that net/http puts before it; UnreachableError has the address.
func cause(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // Do returns no other type, and only the outermost is removed
		return u.Err
	}
	return err
}

// target is the parsed address of a host.
type target struct {
	base, shown string
	socket      string
}

func parseTarget(address string) (target, error) {
	address = cmp.Or(address, DefaultAddress)
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		scheme, rest = "tcp", address
	}
	switch scheme {
	case "unix":
		return target{base: "http://localhost", shown: address, socket: rest}, nil
	case "http", "https":
		return target{base: strings.TrimSuffix(address, "/"), shown: address}, nil
	case "tcp":
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return target{}, fmt.Errorf("%q is not host:port", rest)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1" // a listener on all addresses is reachable over loopback
		}
		return target{base: "http://" + net.JoinHostPort(host, port), shown: net.JoinHostPort(host, port)}, nil
	}
	return target{}, fmt.Errorf("unsupported scheme %s://: use host:port, http://, https:// or unix://", scheme)
}

// client returns an HTTP client without keep-alive, and without redirects and proxies, which might leak the token.
func (t target) client(conf *tls.Config) *http.Client {
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: conf}
	if t.socket != "" {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", t.socket)
		}
	}
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

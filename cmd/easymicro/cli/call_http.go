package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// maxReply limits the size of a reply over HTTP.
const maxReply = 64 << 20

// httpCall makes the call over HTTP.
type httpCall struct{ *request }

func (c *httpCall) run(ctx context.Context) error {
	network, address, err := c.target("http")
	if err != nil {
		return err
	}
	req, err := c.httpRequest(ctx, network, address)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialTLS(ctx, network, address, nil)
	}}
	transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialTLS(ctx, network, address, c.tls) }

	begin := time.Now()
	res, body, err := roundTrip(transport, req) //nolint:bodyclose // roundTrip has read and closed it
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = code.Errorf(code.DeadlineExceeded, "%w", ctx.Err()).WithReason(code.ReasonTimeout)
			c.explain(outcome{address: address, took: time.Since(begin), err: err})
			return c.failed(address, err)
		}
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return unreachable(address, err)
		}
		if alert, ok := errors.AsType[*net.OpError](err); ok {
			err = alert // without the name of a function of net/http
		}
		return noAnswer(address, alerted(err.Error()))
	}
	answered := problemError(res, body)
	c.explain(outcome{address: address, took: time.Since(begin), err: answered, status: res.Status, headers: headers(res), bytes: len(body)})
	if answered != nil {
		return &exitError{code: ExitAnswered, err: answered}
	}
	return c.show(body)
}

func (c *httpCall) httpRequest(ctx context.Context, network, address string) (*http.Request, error) {
	scheme := "http"
	if c.tls != nil {
		scheme = "https"
	}
	target := url.URL{Scheme: scheme, Host: address, Path: "/" + c.service + "/" + c.method}
	if network == "unix" {
		target.Host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.timeout > 0 {
		req.Header.Set("X-Request-Timeout", c.timeout.String())
	}
	meta := url.Values{}
	for _, pair := range c.metadata {
		if pair[0] == wire.MetaAuth {
			req.Header.Set("Authorization", pair[1])
		} else {
			meta.Set(pair[0], pair[1])
		}
	}
	if len(meta) > 0 {
		req.Header.Set("Easymicro-Meta", meta.Encode())
	}
	return req, nil
}

func roundTrip(transport *http.Transport, req *http.Request) (*http.Response, []byte, error) {
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	return res, body, err
}

// problemError returns the error of a response: from its problem+json body, from the headers that the gateways of rpcx and
// of the original easymicro set whatever the status, or from the bare status. It returns nil for a success.
func problemError(res *http.Response, body []byte) error {
	inHeader := headerError(res.Header)
	if res.StatusCode < http.StatusBadRequest {
		return inHeader
	}
	var p struct {
		Code         string `json:"code"`
		Reason       string `json:"reason"`
		Detail       string `json:"detail"`
		Rule         string `json:"rule"`
		Host         string `json:"host"`
		RetryAfterMS int64  `json:"retry_after_ms"`
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, &p) != nil {
		if inHeader != nil {
			return inHeader
		}
		return fmt.Errorf("%s: %s", res.Status, code.Clip(strings.TrimSpace(string(body)), 200))
	}
	known, _ := code.Parse(p.Code)
	return &code.Error{
		Code: known, Reason: p.Reason, Message: p.Detail, Rule: p.Rule, Host: p.Host, RetryAfter: time.Duration(p.RetryAfterMS) * time.Millisecond,
	}
}

// headerError returns the error in the headers of other gateways, or nil.
func headerError(h http.Header) error {
	for _, family := range []string{"X-RPCX-", "Easymicro-"} {
		text := h.Get(family + "ErrorMessage")
		if text == "" && h.Get(family+"MessageStatusType") != "Error" {
			continue
		}
		if text == "" {
			text = "the call failed; the gateway gave no reason"
		}
		return code.Errorf(code.Unknown, "%s", text)
	}
	return nil
}

// headers returns the headers of a response, sorted by name.
func headers(res *http.Response) wire.Metadata {
	var m wire.Metadata
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		m = append(m, [2]string{name, strings.Join(res.Header[name], ", ")})
	}
	return m
}

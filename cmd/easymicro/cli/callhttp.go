package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// maxAnswer bounds what an answer over HTTP may take.
const maxAnswer = 16 << 20

func (c *call) overHTTP(ctx context.Context) error {
	network, address, err := c.target()
	if err != nil {
		return err
	}
	target := url.URL{Scheme: "http", Host: address, Path: "/" + c.service + "/" + c.method}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	if network == "unix" {
		target.Host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	c.httpMetadata(req)
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return &exitError{ExitUnreachable, fmt.Errorf("nobody answers at %s: %w", address, err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if c.verbose {
		fmt.Fprintln(c.app.io.Err, res.Proto, res.Status)
		_ = res.Header.Write(c.app.io.Err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return c.failed(problemError(res, body), nil)
	}
	return c.show(body)
}

// httpMetadata sends metadata as the gateway takes it.
func (c *call) httpMetadata(req *http.Request) {
	meta := url.Values{}
	for _, pair := range c.metadata {
		if pair[0] == wire.MetaAuth {
			req.Header.Set("Authorization", pair[1])
			continue
		}
		meta.Set(pair[0], pair[1])
	}
	if len(meta) > 0 {
		req.Header.Set("Easymicro-Meta", meta.Encode())
	}
}

// problemError is the error of a problem+json body, or of the bare status.
func problemError(res *http.Response, body []byte) error {
	var p struct {
		Code, Reason, Detail, Rule, Host string
		RetryAfterMS                     int64 `json:"retry_after_ms"`
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, &p) != nil {
		return &exitError{ExitAnswered, errors.New(res.Status + ": " + string(body))}
	}
	known, _ := code.Parse(p.Code)
	return &code.Error{
		Code: known, Reason: p.Reason, Message: p.Detail, Rule: p.Rule, Host: p.Host, RetryAfter: time.Duration(p.RetryAfterMS) * time.Millisecond,
	}
}

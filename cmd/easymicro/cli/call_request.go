package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// request is a call to make.
type request struct {
	*app
	service, method string
	body            []byte
	codec           wire.Codec
	compression     wire.Compression
	metadata        wire.Metadata
	timeout         time.Duration
	verbose         bool
	address         string      // of --address
	resolver        *etcdFlags  // of --etcd; nil without
	tls             *tls.Config // nil: no TLS
}

// target returns where to call. The TLS of a listener of the manifest is used without a flag.
func (r *request) target(protocol string) (network, address string, err error) {
	network, address, err = callAddress(r.app, r.address, protocol)
	if err != nil || r.tls != nil || r.address != "" {
		return network, address, err
	}
	if m, _ := readManifest(r.app); m != nil && m.listener(protocol).TLS != nil {
		r.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return network, address, nil
}

// show prints a reply: JSON with a trailing newline, raw bytes unchanged.
func (r *request) show(out []byte) error {
	if r.codec != wire.Raw && len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	_, err := r.out.Write(out)
	return err
}

// outcome holds the details of a call that --verbose prints.
type outcome struct {
	address  string
	took     time.Duration
	err      error
	metadata wire.Metadata
	status   string        // over HTTP
	headers  wire.Metadata // over HTTP
	bytes    int
}

// errorMetadata are the metadata keys that carry an error.
var errorMetadata = []string{
	wire.MetaError, wire.MetaErrorEasymicro, wire.MetaCode, wire.MetaReason, wire.MetaRule, wire.MetaRetryAfter, wire.MetaHost, wire.MetaPublic,
}

// explain prints the details of a call on stderr, with --verbose.
func (r *request) explain(o outcome) {
	if !r.verbose {
		return
	}
	r.note("%s.%s at %s, %s", r.service, r.method, o.address, o.took.Round(time.Microsecond))
	if o.status != "" {
		r.note("status    %s", o.status)
	}
	var e *code.Error
	switch {
	case errors.As(o.err, &e):
		r.note("code      %s", e.Code)
	case o.err != nil:
		r.note("error     %s", o.err)
	default:
		r.note("code      %s", code.OK)
		r.note("bytes     %d", o.bytes)
	}
	if e != nil {
		retry := ""
		if e.RetryAfter > 0 {
			retry = e.RetryAfter.String()
		}
		for _, detail := range [][2]string{{"reason", e.Reason}, {"rule", e.Rule}, {"host", e.Host}, {"retry in", retry}} {
			if detail[1] != "" {
				r.note("%-8s  %s", detail[0], detail[1])
			}
		}
	}
	for _, pair := range o.metadata {
		if o.err != nil && slices.Contains(errorMetadata, pair[0]) {
			continue
		}
		r.note("metadata  %s", oneLine(pair[0]+": "+pair[1]))
	}
	for _, pair := range o.headers {
		r.note("header    %s", oneLine(pair[0]+": "+pair[1]))
	}
}

// failed adds the exit code to an error from the service or the network. A deadline that passes here looks like one that
// the service reports.
func (r *request) failed(address string, err error) error {
	var e *code.Error
	switch {
	case !errors.As(err, &e):
		return noAnswer(address, err.Error())
	case e.Host == "" && (e.Reason == code.ReasonConnectionLost || e.Reason == code.ReasonNoEndpoint):
		hint := ""
		if bad, ok := errors.AsType[*wire.FrameError](err); ok && bad.Reason == wire.BadMagic {
			hint = ": check --address, or use --http for an HTTP server"
		}
		return noAnswer(address, alerted(e.Message+hint))
	case errors.Is(err, context.DeadlineExceeded): // our own deadline: an error from a peer has no cause
		e = code.Errorf(code.DeadlineExceeded, "no answer from %s within %s", address, r.timeout).WithReason(code.ReasonTimeout)
	}
	return &exitError{code: ExitAnswered, err: e}
}

func unreachable(address string, err error) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("cannot connect to %s: %w", address, err)}
}

// noAnswer returns the error for a connection that was lost before the reply.
func noAnswer(address, why string) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("no answer from %s: %s", address, why)}
}

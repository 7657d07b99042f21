package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// outcome is what -v tells of a call.
type outcome struct {
	address  string
	took     time.Duration
	err      error
	metadata wire.Metadata
	status   string        // over HTTP
	headers  wire.Metadata // over HTTP
	bytes    int
}

// ofErrors are the keys of metadata in which an error travels.
var ofErrors = []string{
	wire.MetaError, wire.MetaErrorEasymicro, wire.MetaCode, wire.MetaReason, wire.MetaRule, wire.MetaRetryAfter, wire.MetaHost, wire.MetaPublic,
}

// tell shows, beside the answer, how the call went.
func (c *call) tell(o outcome) {
	if !c.verbose {
		return
	}
	a := c.app
	a.note("%s.%s at %s, %s", c.service, c.method, o.address, o.took.Round(time.Microsecond))
	if o.status != "" {
		a.note("status    %s", o.status)
	}
	var e *code.Error
	switch {
	case errors.As(o.err, &e):
		a.note("code      %s", e.Code)
	case o.err != nil:
		a.note("error     %s", o.err)
	default:
		a.note("code      %s", code.OK)
		a.note("bytes     %d", o.bytes)
	}
	if e != nil {
		retry := ""
		if e.RetryAfter > 0 {
			retry = e.RetryAfter.String()
		}
		for _, fact := range [][2]string{{"reason", e.Reason}, {"rule", e.Rule}, {"host", e.Host}, {"retry in", retry}} {
			if fact[1] != "" {
				a.note("%-8s  %s", fact[0], fact[1])
			}
		}
	}
	for _, pair := range o.metadata {
		if o.err != nil && slices.Contains(ofErrors, pair[0]) {
			continue
		}
		a.note("metadata  %s", oneLine(fmt.Sprintf("%s: %s", pair[0], pair[1])))
	}
	for _, pair := range o.headers {
		a.note("header    %s", oneLine(fmt.Sprintf("%s: %s", pair[0], pair[1])))
	}
}

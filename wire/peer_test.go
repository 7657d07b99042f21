package wire_test

import (
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestFeaturesOfAPeerAreLearnedFromItsIntroduction(t *testing.T) {
	refusal := wire.Metadata{{wire.MetaCode, code.ResourceExhausted.String()}, {wire.MetaError, "too large"}}
	ours := wire.Metadata{{wire.MetaHost, ""}, {wire.MetaAcceptCompression, "gzip,zstd"}}
	for name, tc := range map[string]struct {
		answers []wire.Metadata
		takes   bool
	}{
		"a host without a name":                   {[]wire.Metadata{ours}, true},
		"a refusal before it introduces itself":   {[]wire.Metadata{refusal, ours}, true},
		"a refusal with its name":                 {[]wire.Metadata{append(wire.Metadata{{wire.MetaHost, "h"}}, refusal...), ours}, true},
		"a host that knows gzip":                  {[]wire.Metadata{{{wire.MetaHost, "h"}, {wire.MetaAcceptCompression, "gzip"}}}, false},
		"a handler that copies the metadata":      {[]wire.Metadata{{{wire.MetaAcceptCompression, "zstd"}}}, false},
		"a handler that passes a refusal through": {[]wire.Metadata{append(wire.Metadata{{wire.MetaAcceptCompression, "zstd"}}, refusal...)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := facing(t, wire.ConnOptions{AcceptCompression: []wire.Compression{wire.Zstd}})
			for _, m := range tc.answers {
				done := make(chan bool)
				go func() {
					defer close(done)
					_, _ = call(t.Context(), c, "A", "")
				}()
				res := &wire.Frame{Type: wire.Response, Seq: p.Receive().Seq, Metadata: m}
				if m.Get(wire.MetaCode) != "" {
					res.Status = wire.StatusError
				}
				p.Send(res)
				<-done
			}
			if c.Takes(wire.Zstd) != tc.takes {
				t.Errorf("takes zstd: %v", !tc.takes)
			}
		})
	}
}

func TestAHostWithoutANameIntroducesItself(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	p := r.peer(t)
	p.Send(ours(0))
	if _, named := p.Receive().Metadata.Lookup(wire.MetaHost); !named {
		t.Error("a response does not show who it comes from")
	}
	p.Send(wiretest.With(wiretest.Heartbeat(wire.HeartbeatSeq), wire.MetaAcceptCompression, "none"))
	f := p.Receive()
	if _, named := f.Metadata.Lookup(wire.MetaHost); !named || f.Metadata.Get(wire.MetaBegun) != "0" {
		t.Errorf("a heartbeat is answered with %v", f.Metadata)
	}
}

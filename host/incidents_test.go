package host_test

import (
	"slices"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// put puts an override in force for an hour, unless it says for how long.
func put(t *testing.T, h *hosttest.Host, q admin.OverrideRequest) *admin.OverrideResult {
	t.Helper()
	if q.For == 0 {
		q.For = admin.Seconds(time.Hour)
	}
	r, err := h.Admin.Override(t.Context(), q)
	must(t, err)
	return r
}

var blocked = admin.OverrideRequest{Action: admin.ActionBlock, Method: "Arith.Mul", Caller: "web"}

// Overrides make further revisions of one that waits to be confirmed.
func TestWhatIsNotConfirmedIsUndoneUnderOverrides(t *testing.T) {
	h, restart := startOverridable(t, overridable, map[string]string{"a/x.yaml": rulesOf("ax")})
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(2 * time.Second)})
	put(t, h, blocked)
	for r := h.Revision(); r.Source != host.SourceRollback; r = h.Revision() { //nolint:revive // the others come first
	}
	if names := ruleNames(h); !slices.Equal(names, []string{"ax", "block.web.Arith.Mul"}) {
		t.Errorf("%q", names)
	}
	apply(t, h, admin.ApplyRequest{Files: []admin.ApplyFile{file("x.yaml", "new")}, RevertAfter: admin.Seconds(time.Hour)})
	_, err := h.Admin.DropOverride(t.Context(), "block.web.Arith.Mul")
	must(t, err)
	_, err = h.Admin.Confirm(t.Context())
	must(t, err)
	h = restart()
	if names := ruleNames(h); !slices.Equal(names, []string{"new"}) {
		t.Errorf("%q", names)
	}
}

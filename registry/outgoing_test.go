package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutgoingMetadataIsInheritedByContexts(t *testing.T) {
	above := WithOutgoing(t.Context(), "tenant", "a")
	below := WithOutgoing(WithOutgoing(above, "user", "u"), "tenant", "b")
	if diff := cmp.Diff(Pairs{{"tenant", "a"}}, OutgoingMetadata(above)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Pairs{{"tenant", "b"}, {"user", "u"}}, OutgoingMetadata(below)); diff != "" {
		t.Error(diff)
	}
}

func TestIncomingMetadataIsNotForwarded(t *testing.T) {
	ctx := WithCall(t.Context(), &Call{Metadata: Pairs{{"v", "1"}}})
	if got := OutgoingMetadata(ctx); got != nil {
		t.Errorf("%v keeps running", got)
	}
}

func TestReplyMetadataOfAnUpstreamReachesItsCaller(t *testing.T) {
	var got Pairs
	ReplyOf(WithReplyOf(t.Context(), &got)).Set("etag", "x")
	ReplyOf(t.Context()).Set("etag", "nobody asked")
	if diff := cmp.Diff(Pairs{{"etag", "x"}}, got); diff != "" {
		t.Error(diff)
	}
}

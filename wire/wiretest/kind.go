package wiretest

import (
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/wire"
)

// InKind compares an answer with the recorded one as the README of the recordings says, in all but the payload. A
// failed call needs a text under both families' keys; what it says is the peer's business.
func InKind(got, want *wire.Frame) error {
	if got.Type != want.Type || got.Heartbeat != want.Heartbeat || got.OneWay != want.OneWay || got.Codec != want.Codec ||
		got.Service != want.Service || got.Method != want.Method || got.Status != want.Status {
		return fmt.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want.Status == wire.StatusError {
		if got.Metadata.Get(wire.MetaError) == "" || got.Metadata.Get(wire.MetaErrorEasymicro) == "" {
			return fmt.Errorf("an error without a text: %v", got.Metadata)
		}
		return nil
	}
	if !slices.Equal(got.Metadata, want.Metadata) {
		return fmt.Errorf("metadata %v, want %v", got.Metadata, want.Metadata)
	}
	return nil
}

package wire

import (
	"slices"
	"strings"
)

// understood is what requests may be compressed with, as the value of MetaAcceptCompression.
const understood = "gzip,zstd"

// greet makes the response to a heartbeat. It goes back as it came, but to a peer that shows a key of ours with it: that
// learns who answers and what is understood here, before its first call.
func (c *serverConn) greet(f *Frame) {
	f.Type = Response
	if !hasKeyOfOurs(f.Metadata) {
		return
	}
	f.Metadata.Set(MetaHost, c.srv.host)
	f.Metadata.Set(MetaAcceptCompression, understood)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours, c.modern = true, true
}

func hasKeyOfOurs(m Metadata) bool {
	return slices.ContainsFunc(m, func(p [2]string) bool { return strings.HasPrefix(p[0], metaPrefix) })
}

package wire

import "strings"

// understood is what requests may be compressed with, as the value of MetaAcceptCompression.
const understood = "gzip,zstd"

// greet makes the response to a heartbeat. It goes back as it came, but to a peer that shows a key of ours with it: that
// learns who answers and what is understood here, before its first call.
func (c *serverConn) greet(f *Frame) {
	f.Type = Response
	for _, pair := range f.Metadata {
		if strings.HasPrefix(pair[0], metaPrefix) {
			f.Metadata.Set(MetaHost, "")
			f.Metadata.Set(MetaAcceptCompression, understood)
			return
		}
	}
}

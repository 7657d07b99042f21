package etcd

import "strings"

// hinted is what grpc says of a connection that cannot be made, with what to look at where that is known.
func hinted(text string) string {
	has := func(s string) bool { return strings.Contains(text, s) }
	broke := has("EOF") || has("connection reset") || has("broken pipe")
	switch {
	case has("handshake failed") && (broke || has("does not look like a TLS handshake")):
		return text + ": is it https? The port may be one without TLS"
	case has("server preface") || has("frame header looked like an HTTP/1.1 header"):
		return text + ": is it http? The port may be one with TLS"
	}
	return text
}

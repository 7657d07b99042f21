package host

import "github.com/easymicro/easymicro/wire"

// getter is the metadata of a call as rules see it.
type getter = interface{ Get(string) string }

// metadataOf returns the metadata as rules see it: over HTTP, names of headers are not case-sensitive.
func metadataOf(call *wire.Call, req *wire.Frame) getter {
	if call.Transport() == wire.TransportHTTP {
		return (*headerNames)(&req.Metadata)
	}
	return &req.Metadata
}

type headerNames wire.Metadata

// Get returns the value of a name, preferably in that very spelling.
func (m *headerNames) Get(name string) string { return wire.Metadata(*m).GetFold(name) }

// forwardedMetadata returns metadata without what describes the connection of the caller.
func forwardedMetadata(m wire.Metadata) wire.Metadata {
	var passed wire.Metadata
	for _, pair := range m {
		if pair[0] != wire.MetaAcceptCompression {
			passed = append(passed, pair)
		}
	}
	return passed
}

package client

import "github.com/easymicro/easymicro/wire"

// CallOption is a setting of one call. It may be used for others, too; a ReplyMetadata not at the same time.
type CallOption func(*callOptions)

type callOptions struct {
	metadata      wire.Metadata
	replyMetadata *wire.Metadata
	codec         wire.Codec
	compression   wire.Compression
	idempotent    bool
}

// Metadata sends a pair of metadata along, in place of an earlier one with the key.
func Metadata(key, value string) CallOption {
	return func(o *callOptions) { o.metadata.Set(key, value) }
}

// ReplyMetadata puts the metadata of the response into m, in place of what m had, also when the response is an error.
// It stays as it was when there is no response.
func ReplyMetadata(m *wire.Metadata) CallOption {
	return func(o *callOptions) { o.replyMetadata = m }
}

// Codec encodes the argument in another way than Options.Codec.
func Codec(c wire.Codec) CallOption {
	return func(o *callOptions) { o.codec = c }
}

// Compression compresses the argument in another way than Options.Compression, when it is long enough to.
func Compression(c wire.Compression) CallOption {
	return func(o *callOptions) { o.compression = c }
}

// Token says who calls: it is what hosts with `auth` ask for.
func Token(token string) CallOption { return Metadata(wire.MetaAuth, token) }

// Idempotent says that the call may be sent twice, as for a method in Options.Idempotent: the rules may repeat it even if
// it was perhaps run.
func Idempotent() CallOption {
	return func(o *callOptions) { o.idempotent = true }
}

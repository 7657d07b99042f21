package wire

import "math"

// Keys of metadata that mean something to us or to stock peers.
const (
	MetaError          = "__rpcx_error__"    // text of an error, for rpcx clients
	MetaErrorEasymicro = "easymicro_error__" // the same, for clients of the original easymicro
	MetaAuth           = "__AUTH"            // token of the caller
	MetaTimeout        = "__ServerTimeout"   // milliseconds left of the caller's deadline

	metaPrefix            = "x-em-"                   // of all keys of ours
	MetaCode              = "x-em-code"               // canonical name of an error's code
	MetaReason            = "x-em-reason"             // its reason
	MetaRule              = "x-em-rule"               // the rule that refused, as name@r42
	MetaRetryAfter        = "x-em-retry-after-ms"     // when to try again, in milliseconds
	MetaHost              = "x-em-host"               // the host that refused
	MetaPublic            = "x-em-public"             // what HTTP callers may read of the text, where that is less
	MetaAcceptCompression = "x-em-accept-compression" // names of compressions for the response, separated by commas
	MetaBegun             = "x-em-begun"              // with the answer to a heartbeat: the sequence of the last request that began to run
)

// DrainPath is the reserved service path of the one-way request that tells a client that this connection drains. Its
// sequence is the last one that was accepted by then. A second one, with the method "last", comes right before the
// connection ends: what is behind its sequence was never read, and may be called elsewhere.
const (
	DrainPath = "x-em-drain"
	drainLast = "last"
)

// CancelPath is the reserved service path of the one-way request that cancels the call with its sequence.
const CancelPath = "x-em-cancel"

// HeartbeatSeq is the sequence of heartbeats that nobody waits for: a server sends such a response when its peer has ended
// its sending side, to find out whether that still takes answers.
const HeartbeatSeq = math.MaxUint64

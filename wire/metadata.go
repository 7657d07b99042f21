package wire

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metadata is the ordered key and value pairs of a frame. Keys are case-sensitive; each is there once.
type Metadata [][2]string

// Get is the value of key, "" when it is not there.
func (m Metadata) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup is the value of key, and whether it is there.
func (m Metadata) Lookup(key string) (string, bool) {
	for i := range m {
		if m[i][0] == key {
			return m[i][1], true
		}
	}
	return "", false
}

// GetFold returns the value of a key in its exact spelling, or else in one that differs in case, as names of HTTP headers
// may; empty when there is neither.
func (m Metadata) GetFold(key string) string {
	if v, ok := m.Lookup(key); ok {
		return v
	}
	for _, p := range m {
		if strings.EqualFold(p[0], key) {
			return p[1]
		}
	}
	return ""
}

// Set replaces the value of key, or appends it.
func (m *Metadata) Set(key, value string) {
	for i := range *m {
		if (*m)[i][0] == key {
			(*m)[i][1] = value
			return
		}
	}
	*m = append(*m, [2]string{key, value})
}

// Del removes key.
func (m *Metadata) Del(key string) {
	*m = slices.DeleteFunc(*m, func(p [2]string) bool { return p[0] == key })
}

// size is the length of the pairs on the wire.
func (m Metadata) size() int {
	n := 0
	for i := range m {
		n += 8 + len(m[i][0]) + len(m[i][1])
	}
	return n
}

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

// CallerDeadline returns the deadline that the caller gave with its request: the milliseconds of __ServerTimeout, counted
// from the arrival. With none left, 0 or fewer, that is the arrival itself. Values that are no number give none.
func CallerDeadline(arrived time.Time, m Metadata) (time.Time, bool) {
	v, ok := m.Lookup(MetaTimeout)
	if !ok {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax) || ms > math.MaxInt64/int64(time.Millisecond):
		return time.Time{}, false
	case ms <= 0:
		return arrived, true
	}
	return arrived.Add(time.Duration(ms) * time.Millisecond), true
}

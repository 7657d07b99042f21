package wire

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys of metadata that have a meaning. The package comment describes those of ours.
const (
	MetaError          = "__rpcx_error__"    // text of an error, for rpcx clients
	MetaErrorEasymicro = "easymicro_error__" // the same, for clients of the easymicro of 2019
	MetaAuth           = "__AUTH"            // token of the caller
	MetaTimeout        = "__ServerTimeout"   // milliseconds left until the caller's deadline

	metaPrefix            = "x-em-"                   // of all our keys
	MetaCode              = "x-em-code"               // name of the code of an error
	MetaReason            = "x-em-reason"             // its reason
	MetaRule              = "x-em-rule"               // rule that refused the call, as name@r42
	MetaRetryAfter        = "x-em-retry-after-ms"     // milliseconds after which a retry may succeed
	MetaHost              = "x-em-host"               // host that refused the call, or that introduces itself
	MetaPublic            = "x-em-public"             // what HTTP callers may read of the text, if that is less
	MetaAcceptCompression = "x-em-accept-compression" // compressions that the sender accepts, comma separated
	MetaBegun             = "x-em-begun"              // sequence of the last request that began to run
)

// DrainPath is the reserved service path of the one-way request that announces a drain. Its sequence is that of the last
// accepted request. A second one, with the method "last", is sent right before the connection ends: requests behind its
// sequence were not read, and may be sent elsewhere.
const (
	DrainPath = "x-em-drain"
	drainLast = "last"
)

// CancelPath is the reserved service path of the one-way request that cancels the call with its sequence.
const CancelPath = "x-em-cancel"

// HeartbeatSeq is the sequence of heartbeats that expect no answer: a server sends such a response when its peer has closed
// its sending side, to find out whether it still reads.
const HeartbeatSeq = math.MaxUint64

// Metadata is the ordered list of key and value pairs of a frame. Keys are case-sensitive and unique.
type Metadata [][2]string

// Get returns the value of key; "" when it is absent.
func (m Metadata) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup returns the value of key, and whether it is present.
func (m Metadata) Lookup(key string) (string, bool) {
	for i := range m {
		if m[i][0] == key {
			return m[i][1], true
		}
	}
	return "", false
}

// GetFold returns the value of a key in its exact spelling, or else in one that differs in case, as the names of HTTP
// headers may; "" when there is neither.
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

// size returns the length of the pairs on the wire.
func (m Metadata) size() int {
	n := 0
	for i := range m {
		n += 8 + len(m[i][0]) + len(m[i][1])
	}
	return n
}

// CallerDeadline returns the deadline that the caller sent: the milliseconds of __ServerTimeout, counted from the arrival.
// Zero and negative values mean the arrival itself; values that are not numbers are ignored.
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

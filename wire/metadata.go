package wire

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metadata keys with a meaning in the protocol. The package comment describes ours.
const (
	MetaError          = "__rpcx_error__"    // text of an error, for rpcx clients
	MetaErrorEasymicro = "easymicro_error__" // the same, for clients of the easymicro of 2019
	MetaAuth           = "__AUTH"            // token of the caller
	MetaTimeout        = "__ServerTimeout"   // milliseconds until the caller's deadline

	metaPrefix            = "x-em-"                   // prefix of our keys
	MetaCode              = "x-em-code"               // name of the code of an error
	MetaReason            = "x-em-reason"             // its reason
	MetaRule              = "x-em-rule"               // rule that refused the call, as name@r42
	MetaRetryAfter        = "x-em-retry-after-ms"     // milliseconds after which a retry may succeed
	MetaHost              = "x-em-host"               // host that refused the call, or that introduces itself
	MetaPublic            = "x-em-public"             // public text of an error, for HTTP callers, if it differs
	MetaAcceptCompression = "x-em-accept-compression" // compressions that the sender accepts, comma separated
	MetaBegun             = "x-em-begun"              // sequence of the last request that began to run
)

// DrainPath is the reserved service path of the one-way request that announces a drain, with the sequence of the last
// accepted request. A second one, with the method "last", is sent right before the connection ends: requests after its
// sequence were not read, and may be sent elsewhere.
const (
	DrainPath = "x-em-drain"
	drainLast = "last"
)

// CancelPath is the reserved service path of the one-way request that cancels the call with its sequence.
const CancelPath = "x-em-cancel"

// HeartbeatSeq is the sequence of heartbeats of a Conn, and of the response that a server sends unasked to find out whether
// a peer that has closed its sending side still reads.
const HeartbeatSeq = math.MaxUint64

// Metadata is the list of key-value pairs of a frame. Keys are case-sensitive and unique.
type Metadata [][2]string

// Get returns the value of key, or "".
func (m Metadata) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup returns the value of key, and reports whether it is present.
func (m Metadata) Lookup(key string) (string, bool) {
	for i := range m {
		if m[i][0] == key {
			return m[i][1], true
		}
	}
	return "", false
}

// GetFold is like Get, but falls back to a key that differs only in case, as HTTP header names may.
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

// size returns the encoded length.
func (m Metadata) size() int {
	n := 0
	for i := range m {
		n += 8 + len(m[i][0]) + len(m[i][1])
	}
	return n
}

// CallerDeadline returns the caller's deadline: arrived plus the milliseconds in __ServerTimeout. A value that is not
// positive means arrived itself; one that is not a number is ignored.
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

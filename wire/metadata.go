package wire

import (
	"encoding/binary"
	"slices"
	"strings"
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

// appendMetadata appends the pairs of a metadata block to dst. The strings of all pairs are parts of block, which is
// the one allocation that metadata costs. Of a key that a peer repeats the last value counts, as it does for stock
// peers, who put the pairs into a map.
func appendMetadata(dst Metadata, block string, maxPairs int) (Metadata, *FrameError) {
	for n := 0; len(block) > 0; n++ {
		if n == maxPairs {
			return dst, tooManyPairs(maxPairs)
		}
		key, rest, ok := cutString(block)
		if !ok {
			return dst, badFrame(badMetadata, "a metadata key ends behind its block")
		}
		value, rest, ok := cutString(rest)
		if !ok {
			return dst, badFrame(badMetadata, "a metadata value ends behind its block")
		}
		dst.Set(key, value)
		block = rest
	}
	return dst, nil
}

func cutString(b string) (s, rest string, ok bool) {
	if len(b) < 4 {
		return "", "", false
	}
	n := uint64(binary.BigEndian.Uint32([]byte(b[:4])))
	if n > uint64(len(b)-4) {
		return "", "", false
	}
	return b[4 : 4+n], b[4+n:], true
}

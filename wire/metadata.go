package wire

import (
	"encoding/binary"
	"slices"
)

// Metadata is the ordered key and value pairs of a frame. Stock peers build it from a map, so a key is there once; from
// a peer that repeats one, the last counts, as it does for them.
type Metadata [][2]string

// Get is the value of key, "" when it is not there.
func (m Metadata) Get(key string) string {
	v, _ := m.Lookup(key)
	return v
}

// Lookup is the value of key, and whether it is there.
func (m Metadata) Lookup(key string) (string, bool) {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i][0] == key {
			return m[i][1], true
		}
	}
	return "", false
}

// Set makes value the only one of key.
func (m *Metadata) Set(key, value string) {
	for i := range *m {
		if (*m)[i][0] != key {
			continue
		}
		(*m)[i][1] = value
		rest := (*m)[i+1:]
		kept := slices.DeleteFunc(rest, func(p [2]string) bool { return p[0] == key })
		*m = (*m)[:i+1+len(kept)]
		return
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
// the one allocation that metadata costs.
func appendMetadata(dst Metadata, block string, maxPairs int) (Metadata, *FrameError) {
	for len(block) > 0 {
		if len(dst) == maxPairs {
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
		dst, block = append(dst, [2]string{key, value}), rest
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

package wire

import "encoding/binary"

// msgpackTooDeep reports whether data nests containers beyond maxDepth. It does not recurse, and stops where data is
// malformed, which is for others to say. Payloads that are shorter than maxDepth need not be asked.
func msgpackTooDeep(data []byte) bool {
	var open [maxDepth]uint64 // how many values each container that is open still wants
	depth := 0
	for len(data) > 0 {
		skip, values := msgpackValue(data)
		if skip == 0 || skip > uint64(len(data)) {
			return false
		}
		data = data[skip:]
		if values > 0 {
			if depth == maxDepth {
				return true
			}
			open[depth] = values
			depth++
			continue
		}
		for depth > 0 {
			open[depth-1]--
			if open[depth-1] > 0 {
				break
			}
			depth--
		}
	}
	return false
}

// msgpackValue gives the length of the first value, without the values that it contains, and how many these are. A
// length of 0 means that data ends within.
func msgpackValue(data []byte) (skip, values uint64) {
	switch b := data[0]; {
	case b <= 0x7f, b >= 0xe0, b >= 0xc0 && b <= 0xc3: // small integers, nil, booleans
		return 1, 0
	case b <= 0x8f: // small map
		return 1, 2 * uint64(b&0x0f)
	case b <= 0x9f: // small array
		return 1, uint64(b & 0x0f)
	case b <= 0xbf: // small string
		return 1 + uint64(b&0x1f), 0
	case b <= 0xc6: // binary of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xc4), 0)
	case b <= 0xc9: // extension of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xc7), 1)
	case b <= 0xcb: // float 32, 64
		return 1 + 4<<(b-0xca), 0
	case b <= 0xcf: // unsigned of 8 to 64 bits
		return 1 + 1<<(b-0xcc), 0
	case b <= 0xd3: // signed of 8 to 64 bits
		return 1 + 1<<(b-0xd0), 0
	case b <= 0xd8: // extension of 1 to 16 bytes
		return 2 + 1<<(b-0xd4), 0
	case b <= 0xdb: // string of 8, 16, 32 bits of length
		return msgpackSized(data, 1<<(b-0xd9), 0)
	case b <= 0xdd: // array of 16, 32 bits of length
		n, ok := msgpackUint(data[1:], 2<<(b-0xdc))
		return headOf(1+2<<(b-0xdc), ok), n
	default: // map of 16, 32 bits of length
		n, ok := msgpackUint(data[1:], 2<<(b-0xde))
		return headOf(1+2<<(b-0xde), ok), 2 * n
	}
}

func msgpackSized(data []byte, width int, extra uint64) (skip, values uint64) {
	n, ok := msgpackUint(data[1:], width)
	return headOf(1+uint64(width)+extra+n, ok), 0
}

func headOf(n uint64, ok bool) uint64 {
	if !ok {
		return 0
	}
	return n
}

func msgpackUint(b []byte, width int) (uint64, bool) {
	if len(b) < width {
		return 0, false
	}
	switch width {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true
	}
	return uint64(binary.BigEndian.Uint32(b)), true
}

package wire

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

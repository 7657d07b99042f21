package wire

// keeper keeps the strings that a connection sees again and again, so that a frame that looks like an earlier one
// costs no allocation. It is small and bounded whatever a peer sends. A nil keeper keeps nothing.
type keeper struct {
	names []string
	next  int    // the name to be replaced when all places are taken
	meta  string // the last metadata block
}

const (
	keptNames     = 16
	keptMetaBytes = 512
)

func (k *keeper) name(b []byte) string {
	if k == nil || len(b) == 0 {
		return string(b)
	}
	for _, n := range k.names {
		if n == string(b) {
			return n
		}
	}
	name := string(b)
	if len(k.names) < keptNames {
		k.names = append(k.names, name)
		return name
	}
	k.names[k.next] = name
	k.next = (k.next + 1) % keptNames
	return name
}

func (k *keeper) metadata(b []byte) string {
	if k == nil || len(b) > keptMetaBytes {
		return string(b)
	}
	if k.meta != string(b) {
		k.meta = string(b)
	}
	return k.meta
}

package wire

const (
	maxPointers = 8 // to a pointer to a pointer

	textFactor = 3   // a text is copied to a buffer, which grows to its length, and from there
	boxBytes   = 32  // of a text, a list or a number in an interface
	ownBytes   = 64  // allocated to begin the copy for a type that decodes itself,
	ownFactor  = 7   // which grows as bytes are appended to it
	nameBytes  = 160 // to remember a name, so that the second of its kind is found;
	leastName  = 7   // bytes of a member whose name is remembered: names differ
	mapBytes   = 48  // of a map without entries
	tokenBytes = 64  // of a value that is decoded into a message
	errorBytes = 200 // of the error for a value that does not fit, when all are collected
	groupSlots = 8   // of a map, at once
	maxInSlot  = 128 // of a key or a value; larger ones have allocations of their own
)

// rounded is at least what the allocator takes for n bytes.
func rounded(n int) int {
	const page = 8 << 10
	switch {
	case n <= 0:
		return 0
	case n <= 1<<10:
		return (n + n/6 + 15) &^ 15
	case n <= 32<<10:
		return n + n/5
	}
	return (n + page - 1) / page * page
}

// grown is the room of a list that has been full, as append makes it.
func grown(room int) int {
	switch {
	case room == 0:
		return 1
	case room < 256:
		return 2 * room
	}
	return room + (room+3*256)/4
}

// listCost is what a list of n elements costs, besides what these allocate for themselves.
func (d *dialect) listCost(n, size int) int {
	if d.twice {
		return 2 * rounded(n*size)
	}
	return rounded(n * size)
}

// entrySizes is what an entry of a map takes in the map itself, and aside of it.
func (d *dialect) entrySizes(key, elem int) (slot, aside int) {
	slot = 1
	for _, size := range [...]int{key, elem} {
		if size > maxInSlot {
			slot, aside = slot+8, aside+rounded(size)
		} else {
			slot += size
		}
		if d.twice {
			aside += rounded(size)
		}
	}
	return slot, aside
}

// dictCost is what a map of n entries costs, besides mapBytes and what the entries allocate for themselves.
func (d *dialect) dictCost(n, key, elem int) int {
	slot, aside := d.entrySizes(key, elem)
	room := 0
	for fits(room) < n {
		room = max(groupSlots, 2*room)
	}
	return tableCost(room, slot) + n*aside
}

// fits is how many entries a map takes before it grows.
func fits(room int) int {
	if room <= groupSlots {
		return room
	}
	return room * 7 / 8
}

// tableCost is what room for entries costs. Large maps are of several tables, which grow on their own.
func tableCost(room, slot int) int { return rounded(room*slot) * 5 / 4 }

// perElement is the most that an element adds to the cost of a list.
func (d *dialect) perElement(s *shape) int {
	if s.elem == nil {
		return 0
	}
	if d.grows {
		return 8*s.elem.size + 16
	}
	return d.listCost(1, s.elem.size)
}

// perEntry is the most that an entry adds to the cost of a map.
func (d *dialect) perEntry(s *shape) int {
	if s.elem == nil || s.key == nil {
		return 0
	}
	return d.dictCost(1, s.key.size, s.elem.size)
}

// fixed is what a value costs besides its place, its elements and the bytes of its texts.
func (d *dialect) fixed(s *shape) int {
	switch s.kind {
	case asText:
		return 16
	case asOwn:
		return ownBytes
	case asDict:
		if d.grows {
			return mapBytes + rounded(s.key.size) + rounded(s.elem.size)
		}
		return mapBytes
	case asDynamic:
		return boxBytes + mapBytes
	default:
		return 0
	}
}

// bill adds up what decoding allocates, until it is too much.
type bill struct {
	total, most int
}

func (b *bill) add(n int) (enough bool) {
	b.total += n
	return b.total <= b.most
}

func (b *bill) over() bool { return b.total > b.most }

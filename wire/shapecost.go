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

// fits is how many entries a map takes before it grows.
func fits(room int) int {
	if room <= groupSlots {
		return room
	}
	return room * 7 / 8
}

// tableCost is what room for entries costs. Large maps are of several tables, which grow on their own.
func tableCost(room, slot int) int { return rounded(room*slot) * 5 / 4 }

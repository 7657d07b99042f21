package wire

// Growth takes the bytes of one message that is being read, as more of it comes. Of the messages for which a Budget has not
// enough the oldest gets them all the same, so that not all are stuck halfway; no other does before it is Done. A Growth
// belongs to one goroutine.
type Growth struct {
	share  *Share
	place  uint64 // in the budget's line; 0 when it is in none
	beyond bool   // it has got bytes that were not there, as the first of the line
}

// NewGrowth returns the Growth of a message that comes over the connection of s.
func NewGrowth(s *Share) Growth { return Growth{share: s} }

// Take takes n bytes, and reports whether it could. They are given back to the Share.
func (g *Growth) Take(n int64) bool {
	if g.share.TakeBytes(n) {
		return true
	}
	b := g.share.budget
	if g.place == 0 {
		g.place = b.queueUp()
	}
	if !b.isFirst(g.place) {
		return false
	}
	g.share.add(n)
	g.beyond = true
	return true
}

// Read says that the message has been read, or will not be.
func (g *Growth) Read() {
	if !g.beyond {
		g.Done()
	}
}

// Done says that the bytes have been given back.
func (g *Growth) Done() {
	if g.place != 0 {
		g.share.budget.leave(g.place)
		g.place, g.beyond = 0, false
	}
}

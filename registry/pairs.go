package registry

// Pairs is metadata: keys and values in the order of the wire. Keys are case-sensitive; should one repeat, the last
// counts, as it does for stock peers. The zero value is empty and ready. It is not safe for concurrent use.
type Pairs [][2]string //nolint:recvcheck // it is a slice: only Set needs the variable

// Get is the value of key, and empty without one.
func (p Pairs) Get(key string) string {
	v, _ := p.Lookup(key)
	return v
}

// Lookup is the value of key, and whether there is one.
func (p Pairs) Lookup(key string) (string, bool) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i][0] == key {
			return p[i][1], true
		}
	}
	return "", false
}

// Set replaces the value of key, or appends it.
func (p *Pairs) Set(key, value string) {
	for i := len(*p) - 1; i >= 0; i-- {
		if (*p)[i][0] == key {
			(*p)[i][1] = value
			return
		}
	}
	*p = append(*p, [2]string{key, value})
}

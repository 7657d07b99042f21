package wire

import "sync/atomic"

// introduction is what a peer that has shown a key of ours learns with the first response after that: the name of this
// host, and what it can decompress. Other peers are told nothing.
type introduction struct{ state atomic.Int32 }

const (
	introWanted = 1
	introGiven  = 2
)

func (i *introduction) wanted() { i.state.CompareAndSwap(0, introWanted) }

// give adds the introduction to f, once.
func (i *introduction) give(f *Frame, host string) {
	if i.state.Load() != introWanted || f.Type != Response || f.Heartbeat || !i.state.CompareAndSwap(introWanted, introGiven) {
		return
	}
	setIfMissing(&f.Metadata, MetaHost, host)
	setIfMissing(&f.Metadata, MetaAcceptCompression, understood)
}

func setIfMissing(m *Metadata, key, value string) {
	if _, ok := m.Lookup(key); !ok && value != "" {
		m.Set(key, value)
	}
}

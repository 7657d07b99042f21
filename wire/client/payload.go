package client

import (
	"sync"

	"github.com/easymicro/easymicro/wire"
)

// keepPacked is the most memory for a compressed payload that is kept for other calls.
const keepPacked = 64 << 10

// packed is the payload of a call as it goes over the wire, in all forms that its attempts need: what an endpoint takes
// is known only of its connection.
type packed struct {
	mu    sync.Mutex
	forms [wire.Zstd + 1]form
}

type form struct {
	made  bool
	bytes []byte // no longer than the plain payload, or empty
}

// as is plain, compressed with c if that makes it shorter. What it returns is not changed.
func (p *packed) as(c wire.Compression, plain []byte) ([]byte, wire.Compression, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.forms[min(c, wire.Zstd)]
	if !f.made {
		small, err := wire.AppendCompressed(f.bytes[:0], c, plain)
		if err != nil {
			return nil, 0, err
		}
		if f.made, f.bytes = true, small; len(small) >= len(plain) {
			f.bytes = small[:0]
		}
	}
	if len(f.bytes) == 0 {
		return plain, wire.NoCompression, nil
	}
	return f.bytes, c, nil
}

func (p *packed) reset() {
	for i := range p.forms {
		f := &p.forms[i]
		if f.made, f.bytes = false, f.bytes[:0]; cap(f.bytes) > keepPacked {
			f.bytes = nil
		}
	}
}

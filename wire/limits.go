package wire

import (
	"math/rand/v2"
	"time"
)

// Limits limits what a peer can make this side hold or wait for. Zero fields mean the defaults.
type Limits struct {
	MaxMessageBytes      int // of a frame without its header
	MaxDecompressedBytes int // of one payload
	MaxMetadataPairs     int
	MaxMetadataBytes     int // of a request; a response may have eight times as much, since it has its error twice
	MaxNameBytes         int // of the name of a service or a method
	MaxInFlight          int // running calls of one connection; up to 1,000 more are queued

	FirstByteTimeout time.Duration // from accept to the first byte
	BodyTimeout      time.Duration // from the first wait within a frame to its end
	IdleTimeout      time.Duration // without a new frame or a call in flight
	WriteTimeout     time.Duration // without progress in writing
	MaxConnectionAge time.Duration // ±10 %, from accept to the drain; 0 means none
}

const responseMetadataFactor = 8

// defaultMaxDecompressedBytes is also the default of Decoding.MaxBytes.
const defaultMaxDecompressedBytes = 16 << 20

// WithDefaults returns l with the defaults in place of zero and negative fields.
func (l Limits) WithDefaults() Limits {
	orDefault(&l.MaxMessageBytes, 4<<20)
	orDefault(&l.MaxDecompressedBytes, defaultMaxDecompressedBytes)
	orDefault(&l.MaxMetadataPairs, 64)
	orDefault(&l.MaxMetadataBytes, 8<<10)
	orDefault(&l.MaxNameBytes, 256)
	orDefault(&l.MaxInFlight, 1000)
	orDefault(&l.FirstByteTimeout, 2*time.Minute)
	orDefault(&l.BodyTimeout, 30*time.Second)
	orDefault(&l.IdleTimeout, 2*time.Minute)
	orDefault(&l.WriteTimeout, 10*time.Second)
	return l
}

// ConnectionAge returns the age at which a new connection is drained, which differs by up to a tenth, so that connections that
// began together do not end together; 0 means never.
func (l Limits) ConnectionAge() time.Duration {
	age := max(0, l.MaxConnectionAge)
	return age - age/10 + rand.N(age/5+1)
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (l *Limits) metadataBytes(t MessageType) int {
	if t == Response {
		return responseMetadataFactor * l.MaxMetadataBytes
	}
	return l.MaxMetadataBytes
}

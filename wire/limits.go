package wire

import "time"

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

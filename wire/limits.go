package wire

import "time"

// Limits bounds what a peer can make this side hold or wait for. Zero fields mean the defaults.
type Limits struct {
	MaxMessageBytes      int // of a frame without its header
	MaxDecompressedBytes int // of one payload
	MaxMetadataPairs     int
	MaxMetadataBytes     int // of a request; a response may have eight times as much, since it carries its error twice
	MaxNameBytes         int // of the name of a service or a method
	MaxInFlight          int // calls of one connection that run; up to 1,000 more are queued

	FirstByteTimeout time.Duration // from accept to the first byte
	BodyTimeout      time.Duration // from the first wait within a frame to its end
	IdleTimeout      time.Duration // without a frame begun or a call in flight
	WriteTimeout     time.Duration // without progress of the peer in reading what is sent to it
}

const responseMetadataFactor = 8

// defaultLimits returns what zero fields mean.
func defaultLimits() Limits {
	return Limits{
		MaxMessageBytes:      4 << 20,
		MaxDecompressedBytes: 16 << 20,
		MaxMetadataPairs:     64,
		MaxMetadataBytes:     8 << 10,
		MaxNameBytes:         256,
		MaxInFlight:          1000,
		FirstByteTimeout:     2 * time.Minute,
		BodyTimeout:          30 * time.Second,
		IdleTimeout:          2 * time.Minute,
		WriteTimeout:         10 * time.Second,
	}
}

// WithDefaults returns l with the defaults in place of zero and negative fields.
func (l Limits) WithDefaults() Limits {
	d := defaultLimits()
	orDefault(&l.MaxMessageBytes, d.MaxMessageBytes)
	orDefault(&l.MaxDecompressedBytes, d.MaxDecompressedBytes)
	orDefault(&l.MaxMetadataPairs, d.MaxMetadataPairs)
	orDefault(&l.MaxMetadataBytes, d.MaxMetadataBytes)
	orDefault(&l.MaxNameBytes, d.MaxNameBytes)
	orDefault(&l.MaxInFlight, d.MaxInFlight)
	orDefault(&l.FirstByteTimeout, d.FirstByteTimeout)
	orDefault(&l.BodyTimeout, d.BodyTimeout)
	orDefault(&l.IdleTimeout, d.IdleTimeout)
	orDefault(&l.WriteTimeout, d.WriteTimeout)
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

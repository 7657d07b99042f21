package wire

import (
	"encoding/binary"
)

// HeaderBytes is the length of the fixed header of a frame.
const HeaderBytes = 16

// Magic is the first byte of every frame.
const Magic = 0x08

// MessageType distinguishes requests and responses.
type MessageType byte

// Message types.
const (
	Request  MessageType = 0
	Response MessageType = 1
)

// Status is the outcome of a call, in a response. Values 2 and 3 are not used.
type Status byte

// Statuses.
const (
	StatusNormal Status = 0
	StatusError  Status = 1
)

// Frame is one message. It may be reused, and with it the memory of Metadata and Payload: fill them with append, and copy
// what you keep. Strings may be kept.
type Frame struct {
	Type        MessageType
	Heartbeat   bool
	OneWay      bool
	Compression Compression
	Status      Status
	Codec       Codec
	Seq         uint64
	Service     string
	Method      string
	Metadata    Metadata
	Payload     []byte // compressed with Compression; a Server decompresses it before it calls its Handler
}

// keepPayload is the capacity up to which a frame keeps its payload memory for reuse.
const keepPayload = 64 << 10

// Reset clears f. It keeps the memory for reuse, unless it is large.
func (f *Frame) Reset() {
	clear(f.Metadata)
	meta, payload := f.Metadata[:0], f.Payload[:0]
	if cap(payload) > keepPayload {
		payload = nil
	}
	*f = Frame{Metadata: meta, Payload: payload}
}

// size returns the length of f on the wire.
func (f *Frame) size() int64 {
	return int64(HeaderBytes + 4*4 + len(f.Service) + len(f.Method) + f.Metadata.size() + len(f.Payload))
}

// AppendFrame appends the encoding of f to dst. All of f must be shorter than 4 GiB.
func AppendFrame(dst []byte, f *Frame) []byte {
	meta := f.Metadata.size()
	total := 4*4 + len(f.Service) + len(f.Method) + meta + len(f.Payload)

	dst = append(dst, Magic, 0, f.flags(), byte(f.Codec)<<4)
	dst = binary.BigEndian.AppendUint64(dst, f.Seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(total))
	dst = appendBlock(dst, f.Service)
	dst = appendBlock(dst, f.Method)
	dst = binary.BigEndian.AppendUint32(dst, uint32(meta))
	for i := range f.Metadata {
		dst = appendBlock(dst, f.Metadata[i][0])
		dst = appendBlock(dst, f.Metadata[i][1])
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Payload)))
	return append(dst, f.Payload...)
}

func (f *Frame) flags() byte {
	flags := byte(f.Type&1)<<7 | byte(f.Compression&7)<<2 | byte(f.Status&3)
	if f.Heartbeat {
		flags |= 1 << 6
	}
	if f.OneWay {
		flags |= 1 << 5
	}
	return flags
}

func appendBlock(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// Compress compresses the payload with c if that makes it shorter.
func (f *Frame) Compress(c Compression) error {
	if c == NoCompression || f.Compression != NoCompression || len(f.Payload) == 0 {
		return nil
	}
	out, err := AppendCompressed(make([]byte, 0, len(f.Payload)), c, f.Payload)
	if err != nil || len(out) >= len(f.Payload) {
		return err
	}
	f.Payload, f.Compression = out, c
	return nil
}

// Decompress decompresses the payload to at most limit bytes. It returns the errors of the function Decompress.
func (f *Frame) Decompress(limit int) error {
	if f.Compression == NoCompression {
		return nil
	}
	out, err := Decompress(nil, f.Compression, f.Payload, limit)
	if err != nil {
		return err
	}
	f.Payload, f.Compression = out, NoCompression
	return nil
}

package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/easymicro/easymicro/wire/code"
)

// ParseFrame parses the frame at the beginning of b, and returns what follows it as rest. The payload aliases b. It fails
// with io.ErrUnexpectedEOF if b ends within the frame, or with a *FrameError; if that is not fatal, f has the fields of the
// header. Any version byte is accepted, as stock peers do.
func ParseFrame(b []byte, lim Limits) (f Frame, rest []byte, err error) {
	lim = lim.WithDefaults()
	if len(b) > 0 && b[0] != Magic {
		return f, b, notMagic(b[0])
	}
	if len(b) < HeaderBytes {
		return f, b, io.ErrUnexpectedEOF
	}
	total, bad := parseHeader(b, &f)
	if bad == nil {
		bad = checkTotal(total, &lim)
	}
	if bad != nil && bad.Fatal {
		return f, b, bad
	}
	if uint64(total) > uint64(len(b)-HeaderBytes) {
		return f, b, io.ErrUnexpectedEOF
	}
	rest = b[HeaderBytes+int(total):]
	if bad != nil {
		return f, rest, bad
	}
	f.Payload, bad = parseBody(b[HeaderBytes:HeaderBytes+int(total)], &f, &lim, nil)
	if bad != nil {
		return f, rest, bad
	}
	return f, rest, nil
}

// parseHeader parses the first HeaderBytes of b into f and returns the length of the body.
func parseHeader(b []byte, f *Frame) (uint32, *FrameError) {
	_ = b[HeaderBytes-1]
	if b[0] != Magic {
		return 0, notMagic(b[0])
	}
	flags := b[2]
	f.Type = MessageType(flags >> 7)
	f.Heartbeat = flags&(1<<6) != 0
	f.OneWay = flags&(1<<5) != 0
	f.Compression = Compression(flags >> 2 & 7)
	f.Status = Status(flags & 3)
	f.Codec = Codec(b[3] >> 4)
	f.Seq = binary.BigEndian.Uint64(b[4:])
	return binary.BigEndian.Uint32(b[12:]), nil
}

func notMagic(b byte) *FrameError {
	return badFrame(BadMagic, "it begins with byte %#02x, not %#02x", b, Magic)
}

func checkTotal(total uint32, lim *Limits) *FrameError {
	const fourLengths = 4 * 4
	if total < fourLengths {
		return badFrame(badLength, "%d bytes cannot hold four blocks", total)
	}
	if uint64(total) <= uint64(lim.MaxMessageBytes) {
		return nil
	}
	return overLimit(tooLarge, "message of %d bytes exceeds the %d allowed", total, lim.MaxMessageBytes)
}

// parseBody parses the blocks of body into f, except the payload, which it returns as a slice of body.
func parseBody(body []byte, f *Frame, lim *Limits, k *interner) (payload []byte, bad *FrameError) {
	service, rest, ok1 := cutBlock(body)
	method, rest, ok2 := cutBlock(rest)
	meta, rest, ok3 := cutBlock(rest)
	payload, rest, ok4 := cutBlock(rest)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, badFrame(badLength, "a block extends beyond its frame")
	}
	if len(rest) != 0 {
		return nil, badFrame(badLength, "%d bytes follow the payload", len(rest))
	}
	if n := max(len(service), len(method)); n > lim.MaxNameBytes {
		return nil, overLimit(nameTooLong, "name of %d bytes exceeds the %d allowed", n, lim.MaxNameBytes)
	}
	f.Service, f.Method = k.name(service), k.name(method)
	if len(meta) == 0 {
		return payload, nil
	}
	if limit := lim.metadataBytes(f.Type); len(meta) > limit {
		return nil, overLimit(metadataTooLarge, "metadata of %d bytes exceeds the %d allowed", len(meta), limit)
	}
	f.Metadata, bad = appendMetadata(f.Metadata[:0], k.metadata(meta), lim.MaxMetadataPairs)
	if bad != nil {
		clear(f.Metadata)
		f.Metadata = f.Metadata[:0]
		return nil, bad
	}
	return payload, nil
}

func cutBlock(b []byte) (block, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}

// interner reuses the strings that a connection repeats, so that a frame like an earlier one costs no allocation. Its size
// is bounded. A nil interner keeps nothing.
type interner struct {
	names []string
	next  int    // index of the name to replace when names is full
	meta  string // the last metadata block
}

const (
	keptNames     = 16
	keptMetaBytes = 512
)

func (k *interner) name(b []byte) string {
	if k == nil || len(b) == 0 {
		return string(b)
	}
	for _, n := range k.names {
		if n == string(b) {
			return n
		}
	}
	name := string(b)
	if len(k.names) < keptNames {
		k.names = append(k.names, name)
		return name
	}
	k.names[k.next] = name
	k.next = (k.next + 1) % keptNames
	return name
}

func (k *interner) metadata(b []byte) string {
	if k == nil || len(b) > keptMetaBytes {
		return string(b)
	}
	if k.meta != string(b) {
		k.meta = string(b)
	}
	return k.meta
}

// appendMetadata appends the pairs of a metadata block to dst. Their strings are substrings of block, so that metadata costs
// one allocation. The last value of a repeated key counts, as in stock peers.
func appendMetadata(dst Metadata, block string, maxPairs int) (Metadata, *FrameError) {
	for n := 0; len(block) > 0; n++ {
		if n == maxPairs {
			return dst, overLimit(metadataTooLarge, "metadata has more than %d pairs", maxPairs)
		}
		key, rest, ok := cutString(block)
		if !ok {
			return dst, badFrame(badMetadata, "a metadata key extends beyond its block")
		}
		value, rest, ok := cutString(rest)
		if !ok {
			return dst, badFrame(badMetadata, "a metadata value extends beyond its block")
		}
		dst.Set(key, value)
		block = rest
	}
	return dst, nil
}

func cutString(b string) (s, rest string, ok bool) {
	if len(b) < 4 {
		return "", "", false
	}
	n := uint64(binary.BigEndian.Uint32([]byte(b[:4])))
	if n > uint64(len(b)-4) {
		return "", "", false
	}
	return b[4 : 4+n], b[4+n:], true
}

// FrameError reports a frame that is malformed or exceeds a limit.
//
// A malformed frame is fatal and cannot be answered, since the start of the next one is unknown. A valid frame that exceeds
// a limit can be answered: its header has been read and the rest skipped, and the next frame can be read.
type FrameError struct {
	Reason string      // one of a small fixed set, for metric labels
	Answer *code.Error // error for the caller; nil if the frame cannot be answered
	Fatal  bool        // no further frame can be read

	detail string
}

// Reasons of a FrameError.
const (
	BadMagic         = "bad_magic" // the first byte is not that of rpcx
	badLength        = "bad_length"
	badMetadata      = "bad_metadata"
	tooLarge         = "too_large"
	nameTooLong      = "name_too_long"
	metadataTooLarge = "metadata_too_large"
)

func (e *FrameError) Error() string { return "bad frame: " + e.detail }

// Unwrap returns Answer, so that code.From finds it.
func (e *FrameError) Unwrap() error {
	if e.Answer == nil {
		return nil
	}
	return e.Answer
}

func badFrame(reason, format string, args ...any) *FrameError {
	return &FrameError{Reason: reason, Fatal: true, detail: fmt.Sprintf(format, args...)}
}

func overLimit(reason, format string, args ...any) *FrameError {
	detail := fmt.Sprintf(format, args...)
	return &FrameError{
		Reason: reason,
		Answer: code.Refuse(code.ResourceExhausted, code.ReasonTooLarge, detail, "", "", 0),
		detail: detail,
	}
}

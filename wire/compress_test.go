package wire

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/easymicro/easymicro/wire/code"
)

var compressions = []Compression{NoCompression, Gzip, Zstd}

func TestCompressionsRoundTrip(t *testing.T) {
	for _, c := range compressions {
		for _, n := range []int{0, 1, 100, 4096, 100_000, 3_000_000} {
			for name, src := range map[string][]byte{"zeros": make([]byte, n), "noise": noise(n)} {
				packed, err := AppendCompressed([]byte("in front"), c, src)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Decompress([]byte("before"), c, packed[len("in front"):], n)
				if err != nil {
					t.Fatalf("%v of %d %s: %v", c, n, name, err)
				}
				if string(packed[:8]) != "in front" || string(got[:6]) != "before" || !bytes.Equal(got[6:], src) {
					t.Errorf("%v of %d %s differs", c, n, name)
				}
			}
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(b)
	return b
}

func TestPayloadsThatDecompressBeyondTheLimitAreTooLarge(t *testing.T) {
	for _, c := range compressions {
		for _, n := range []int{1, 1000, 100_000, 1 << 20} {
			packed, err := AppendCompressed(nil, c, make([]byte, n))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decompress(nil, c, packed, n); err != nil {
				t.Errorf("%v: %d bytes with a limit of as many: %v", c, n, err)
			}
			out, err := Decompress([]byte("x"), c, packed, n-1)
			if e := code.From(err); err == nil || e.Code != code.ResourceExhausted || e.Reason != code.ReasonTooLarge {
				t.Errorf("%v: %d bytes with a limit of one less: %v", c, n, err)
			}
			if string(out) != "x" {
				t.Errorf("%v: dst changed to %d bytes", c, len(out))
			}
		}
	}
}

func TestRecordedGzipOfStockPeersIsRead(t *testing.T) {
	tests := []struct{ peer, name, want string }{
		{"rpcx", "gzip-echo", strings.Repeat("easymicro ", 400)},
		{"easymicro", "em-gzip", `{"A":73,"B":1500}`},
	}
	for _, tt := range tests {
		f := recorded(t, tt.peer, tt.name, 0)
		if err := f.Decompress(1 << 20); err != nil || string(f.Payload) != tt.want || f.Compression != NoCompression {
			t.Errorf("%s: %v, %q", tt.name, err, f.Payload)
		}
	}
}

func TestEmptyPayloadsDecompressToNothing(t *testing.T) {
	for _, c := range compressions {
		if out, err := Decompress([]byte("x"), c, nil, 0); err != nil || string(out) != "x" {
			t.Errorf("%v: %q, %v", c, out, err)
		}
	}
}

func TestBadCompressedPayloadsHaveTheirReason(t *testing.T) {
	pack := func(c Compression, s string) []byte {
		b, err := AppendCompressed(nil, c, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := pack(Gzip, strings.Repeat("text", 100))
	wrongSum := bytes.Clone(whole)
	wrongSum[len(wrongSum)-5] ^= 1
	wrongZstdSum := pack(Zstd, "text")
	wrongZstdSum[len(wrongZstdSum)-1] ^= 1
	tests := []struct {
		name   string
		c      Compression
		src    []byte
		reason string
	}{
		{"no gzip", Gzip, []byte("text"), code.ReasonBadPayload},
		{"gzip cut in its header", Gzip, whole[:9], code.ReasonBadPayload},
		{"gzip with a wrong checksum", Gzip, wrongSum, code.ReasonBadPayload},
		{"two gzip members", Gzip, append(bytes.Clone(whole), whole...), code.ReasonBadPayload},
		{"byte behind gzip", Gzip, append(bytes.Clone(whole), 0), code.ReasonBadPayload},
		{"no zstd", Zstd, []byte("text"), code.ReasonBadPayload},
		{"two zstd frames", Zstd, append(pack(Zstd, "text"), pack(Zstd, "text")...), code.ReasonBadPayload},
		{"skippable frame behind zstd", Zstd, append(pack(Zstd, "text"), 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0), code.ReasonBadPayload},
		{"skippable zstd frame", Zstd, []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, code.ReasonBadPayload},
		{"zstd with a wrong checksum", Zstd, wrongZstdSum, code.ReasonBadPayload},
		{"zstd that holds less than it claims", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 9, 0x21, 0, 0, 'a', 'b', 'c', 'd'}, code.ReasonBadPayload},
		{"cut zstd", Zstd, pack(Zstd, strings.Repeat("text", 100))[:12], code.ReasonBadPayload},
		{"byte behind zstd", Zstd, append(pack(Zstd, "text"), 0), code.ReasonBadPayload},
		{"compression 3", 3, nil, code.ReasonUnknownCodec},
		{"compression 7", 7, whole, code.ReasonUnknownCodec},
	}
	for _, tt := range tests {
		_, err := Decompress(nil, tt.c, tt.src, 1<<20)
		if e := code.From(err); err == nil || e.Code != code.InvalidArgument || e.Reason != tt.reason {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// bomb is a payload of a few kilobytes that decompresses to n zeros.
func bomb(t testing.TB, c Compression, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	block := make([]byte, 1<<20)
	if c == Gzip {
		w, _ := stdgzip.NewWriterLevel(&out, stdgzip.BestCompression)
		for range n / len(block) {
			if _, err := w.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range n / len(block) {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBombsStayWithinTheMemoryLimit(t *testing.T) {
	const limit = 1 << 20
	for c, reason := range map[Compression]string{Gzip: code.ReasonBadPayload, Zstd: code.ReasonTooLarge} {
		packed := bomb(t, c, 64<<20)
		if c == Gzip {
			binary.LittleEndian.PutUint32(packed[len(packed)-4:], 10) // the claim is a lie, and is taken at its word
		}
		if _, err := Decompress(nil, c, packed, limit); err == nil { // the pools are warm from here on
			t.Fatal("no error")
		}
		var err error
		used := allocated(func() { _, err = Decompress(nil, c, packed, limit) })
		if e := code.From(err); err == nil || e.Reason != reason {
			t.Errorf("%v: %v", c, err)
		}
		if used > 4*limit {
			t.Errorf("%v: %d bytes of a bomb took %d", c, len(packed), used)
		}
	}
}

func TestAClaimedSizeCostsNothing(t *testing.T) {
	claims := map[Compression][]byte{
		Gzip: append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 0, 0, 0, 1),
		// a single segment of 16 MiB, and one block of one byte
		Zstd: {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 1, 0x0b, 0, 0, 'a'},
	}
	for c, src := range claims {
		_, _ = Decompress(nil, c, src, 16<<20) // warms the pools
		var err error
		used := allocated(func() { _, err = Decompress(nil, c, src, 16<<20) })
		if err == nil || used > 64<<10 {
			t.Errorf("%v: %v, and %d bytes taken", c, err, used)
		}
	}
}

func TestFramesAreCompressedOnlyIfThatMakesThemShorter(t *testing.T) {
	f := Frame{Payload: noise(1000)}
	if err := f.Compress(Gzip); err != nil || f.Compression != NoCompression || len(f.Payload) != 1000 {
		t.Errorf("%v, %v, %d bytes", err, f.Compression, len(f.Payload))
	}
	f.Payload = make([]byte, 1000)
	for _, c := range []Compression{Gzip, Zstd} { // the second time it is compressed already
		if err := f.Compress(c); err != nil || f.Compression != Gzip || len(f.Payload) >= 1000 {
			t.Errorf("%v, %v, %d bytes", err, f.Compression, len(f.Payload))
		}
	}
	if err := f.Decompress(1000); err != nil || len(f.Payload) != 1000 {
		t.Errorf("%v, %d bytes", err, len(f.Payload))
	}
	if err := f.Compress(5); code.From(err).Reason != code.ReasonUnknownCodec {
		t.Errorf("got %v", err)
	}
}

func TestMemoryForZstdGrowsWithItsOutput(t *testing.T) {
	var src bytes.Buffer
	w, err := zstd.NewWriter(&src, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Repeat("what is written in small parts is ", 3)
	for i := range 128 { // a block each, and no size of the whole
		if _, err := w.Write([]byte(words[i%50:])); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packed := src.Bytes()
	if most, ok := zstdBound(packed); !ok || most < 1<<20 {
		t.Fatalf("%d bytes, %v", most, ok)
	}
	if _, err := Decompress(nil, Zstd, packed, 16<<20); err != nil { // the pool is warm from here on
		t.Fatal(err)
	}
	var out []byte
	used := allocated(func() { out, err = Decompress(nil, Zstd, packed, 16<<20) })
	if err != nil || used > 512<<10 || cap(out) > 512<<10 {
		t.Errorf("%d bytes of %d took %d, %v", len(out), len(packed), used, err)
	}
	zeros := bomb(t, Zstd, 3<<20)
	if out, err := Decompress([]byte("x"), Zstd, zeros, 3<<20); err != nil || len(out) != 1+(3<<20) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

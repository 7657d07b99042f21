package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

// hexFile reads bytes in hex; the rest of a line behind # is a comment. want is the text of a comment "want …".
func hexFile(t testing.TB, path string) (b []byte, want string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		digits, comment, _ := strings.Cut(lines.Text(), "#")
		if w, ok := strings.CutPrefix(strings.TrimSpace(comment), "want "); ok {
			want = w
		}
		line, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		b = append(b, line...)
	}
	return b, want
}

var goldenMeanings = map[string]Frame{
	"request.hex": {
		Codec: JSON, Seq: 42, Service: "Arith", Method: "Mul",
		Metadata: Metadata{{MetaAuth, "tok"}, {"trace", "abcde"}}, Payload: []byte(`{"A":73,"B":1500}`),
	},
	"response_error.hex": {
		Type: Response, Status: StatusError, Codec: JSON, Service: "Arith", Method: "Div",
		Metadata: Metadata{{MetaError, "divide by zero"}}, Payload: []byte{},
	},
	"heartbeat.hex":           {Type: Response, Heartbeat: true, Seq: HeartbeatSeq, Payload: []byte{}},
	"drain.hex":               {OneWay: true, Seq: 7, Service: DrainPath, Payload: []byte{}},
	"zstd.hex":                {Compression: Zstd, Codec: Protobuf, Seq: 1, Service: "S", Method: "M", Payload: []byte{1, 2, 3}},
	"unknown_codec.hex":       {Codec: 15, Seq: 1, Service: "S", Method: "M", Payload: []byte{}},
	"unknown_compression.hex": {Compression: 7, Codec: JSON, Seq: 1, Service: "S", Method: "M", Payload: []byte{}},
}

func TestGoldenFramesMatchTheirComments(t *testing.T) {
	for name, want := range goldenMeanings {
		t.Run(name, func(t *testing.T) {
			b, _ := hexFile(t, filepath.Join("testdata", "frames", name))
			got, rest, err := ParseFrame(b, Limits{})
			if err != nil || len(rest) != 0 {
				t.Fatalf("%v, %d bytes left", err, len(rest))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if again := AppendFrame(nil, &want); !bytes.Equal(again, b) {
				t.Errorf("encoded % x\nwant    % x", again, b)
			}
			for n := range b {
				if _, _, err := ParseFrame(b[:n], Limits{}); err != io.ErrUnexpectedEOF { //nolint:errorlint // the bare value is promised
					t.Fatalf("cut to %d bytes: %v", n, err)
				}
			}
		})
	}
}

func TestMalformedFramesAreFatalForTheirReason(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "frames", "bad_*.hex"))
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, want := hexFile(t, path)
			_, _, parseErr := ParseFrame(b, Limits{})
			readErr := NewReader(bytes.NewReader(b), Limits{}).Read(new(Frame))
			for _, err := range []error{parseErr, readErr} {
				var bad *FrameError
				if !errors.As(err, &bad) || bad.Reason != want || !bad.Fatal {
					t.Errorf("got %v, want a fatal %s", err, want)
				}
			}
		})
	}
}

func TestAnyVersionIsAcceptedAsByStockPeers(t *testing.T) {
	f := Frame{Codec: JSON, Seq: 1, Service: "S", Method: "M"}
	b := AppendFrame(nil, &f)
	b[1] = 9
	if _, _, err := ParseFrame(b, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestFramesBeyondALimitCanBeAnsweredAndSkipped(t *testing.T) {
	lim := Limits{MaxMessageBytes: 2000, MaxNameBytes: 10, MaxMetadataPairs: 3, MaxMetadataBytes: 100}
	pairs := func(n int) (m Metadata) {
		for i := range n {
			m = append(m, [2]string{string(rune('a' + i)), ""})
		}
		return m
	}
	tests := []struct {
		name   string
		f      Frame
		reason string // "" when it is within the limits
	}{
		{"service of 10 bytes", Frame{Service: strings.Repeat("s", 10)}, ""},
		{"service of 11 bytes", Frame{Service: strings.Repeat("s", 11)}, nameTooLong},
		{"method of 11 bytes", Frame{Method: strings.Repeat("m", 11)}, nameTooLong},
		{"3 pairs", Frame{Metadata: pairs(3)}, ""},
		{"4 pairs", Frame{Metadata: pairs(4)}, metadataTooLarge},
		{"one key in 4 pairs", Frame{Metadata: Metadata{{"k"}, {"k"}, {"k"}, {"k"}}}, metadataTooLarge},
		{"100 bytes of metadata", Frame{Metadata: Metadata{{"k", strings.Repeat("v", 91)}}}, ""},
		{"101 bytes of metadata", Frame{Metadata: Metadata{{"k", strings.Repeat("v", 92)}}}, metadataTooLarge},
		{"800 bytes of metadata in a response", Frame{Type: Response, Metadata: Metadata{{"k", strings.Repeat("v", 791)}}}, ""},
		{"801 bytes of metadata in a response", Frame{Type: Response, Metadata: Metadata{{"k", strings.Repeat("v", 792)}}}, metadataTooLarge},
		{"2000 bytes", Frame{Payload: make([]byte, 2000-16)}, ""},
		{"2001 bytes", Frame{Payload: make([]byte, 2001-16)}, tooLarge},
		{"8000 bytes", Frame{Payload: make([]byte, 8000-16)}, tooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.f.Seq, tt.f.Codec, tt.f.OneWay = 99, Msgpack, true
			next := Frame{Seq: 100, Service: "next"}
			stream := AppendFrame(AppendFrame(nil, &tt.f), &next)

			got, rest, err := ParseFrame(stream, lim)
			checkOverLimit(t, &got, err, tt.reason)
			if got, _, err := ParseFrame(rest, lim); err != nil || got.Service != "next" {
				t.Errorf("behind it: %+v, %v", got, err)
			}

			r := NewReader(bytes.NewReader(stream), lim)
			var f Frame
			checkOverLimit(t, &f, r.Read(&f), tt.reason)
			if err := r.Read(&f); err != nil || f.Service != "next" {
				t.Errorf("behind it: %+v, %v", f, err)
			}
		})
	}
}

func checkOverLimit(t *testing.T, f *Frame, err error, reason string) {
	t.Helper()
	if f.Seq != 99 || f.Codec != Msgpack || !f.OneWay {
		t.Errorf("the header is lost: %+v", f)
	}
	if reason == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Reason != reason || bad.Fatal || bad.Answer == nil {
		t.Fatalf("got %v, want an answer to %s", err, reason)
	}
	if e := code.From(err); e.Code != code.ResourceExhausted || e.Reason != code.ReasonTooLarge || !code.NotRun(e.Reason) {
		t.Errorf("answer %v %s", e.Code, e.Reason)
	}
}

func TestTooLongFramesAreSkippedAtAnyLength(t *testing.T) {
	lim := Limits{MaxMessageBytes: 1000}
	for _, length := range []int{1001, 4001, 1 << 20} {
		b := AppendFrame(nil, &Frame{Seq: 99, Codec: Msgpack, OneWay: true, Payload: make([]byte, length-16)})
		r := NewReader(bytes.NewReader(AppendFrame(b, &Frame{Seq: 100})), lim)
		var f Frame
		err := r.Read(&f)
		var bad *FrameError
		if !errors.As(err, &bad) || bad.Fatal || bad.Answer == nil || f.Seq != 99 || f.Payload != nil {
			t.Errorf("%d bytes: got %v with sequence %d", length, err, f.Seq)
		}
		if err := r.Read(&f); err != nil || f.Seq != 100 {
			t.Errorf("%d bytes: the frame behind it: %v, sequence %d", length, err, f.Seq)
		}
	}
}

func TestResetKeepsMemoryUnlessItIsLarge(t *testing.T) {
	f := Frame{Type: Response, Metadata: make(Metadata, 3), Payload: make([]byte, keepPayload)}
	f.Metadata[2] = [2]string{"k", "v"}
	f.Reset()
	if cap(f.Metadata) != 3 || cap(f.Payload) != keepPayload || len(f.Metadata)+len(f.Payload) != 0 || f.Type != Request {
		t.Errorf("got %+v", f)
	}
	if f.Metadata[:3][2][0] != "" {
		t.Error("the old strings are still held")
	}
	f.Payload = make([]byte, keepPayload+1)
	if f.Reset(); f.Payload != nil {
		t.Error("a large payload was kept")
	}
}

func TestNamesOfCodecsAndCompressionsRoundTrip(t *testing.T) {
	for c := Raw; c <= Thrift; c++ {
		if got, ok := ParseCodec(c.String()); !ok || got != c {
			t.Errorf("%v", c)
		}
	}
	for c := NoCompression; c <= Zstd; c++ {
		if got, ok := ParseCompression(c.String()); !ok || got != c {
			t.Errorf("%v", c)
		}
	}
	if _, ok := ParseCodec("bson"); ok || Codec(9).String() != "codec 9" {
		t.Error("an unknown codec is known")
	}
	if HeartbeatSeq != uint64(math.MaxUint64) {
		t.Error("HeartbeatSeq")
	}
}

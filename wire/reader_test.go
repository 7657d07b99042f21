package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReaderReturnsTheSameFramesForAnyFragmentation(t *testing.T) {
	want := framesOfManySizes()
	var stream []byte
	for i := range want {
		stream = AppendFrame(stream, &want[i])
	}
	sources := map[string]io.Reader{
		"at once":         bytes.NewReader(stream),
		"byte by byte":    iotest.OneByteReader(bytes.NewReader(stream)),
		"half by half":    iotest.HalfReader(bytes.NewReader(stream)),
		"end with data":   iotest.DataErrReader(bytes.NewReader(stream)),
		"in random parts": &randomParts{src: stream, rnd: rand.New(rand.NewPCG(1, 2))},
	}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			r := NewReader(src, Limits{})
			defer r.Release()
			for i := range want {
				var got Frame
				if err := r.Read(&got); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if !bytes.Equal(AppendFrame(nil, &got), AppendFrame(nil, &want[i])) {
					t.Fatalf("frame %d of %d bytes differs", i, len(want[i].Payload))
				}
			}
			if err := r.Read(new(Frame)); err != io.EOF { //nolint:errorlint // the bare value is promised
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func framesOfManySizes() (frames []Frame) {
	sizes := []int{0, 1, 500, smallBytes - 100, smallBytes - 50, smallBytes, 5000, bigBytes - 100, bigBytes - 60, bigBytes, 65_536, 200_000, 1_000_000}
	for i, n := range append(sizes, 3, 3, 3, 700, 700, 700) {
		payload := bytes.Repeat([]byte{byte(i)}, n)
		f := Frame{Seq: uint64(i), Service: fmt.Sprint("service", i%3), Method: "m", Payload: payload}
		if i%2 == 0 {
			f.Metadata = Metadata{{"k", strings.Repeat("v", i*10)}}
		}
		frames = append(frames, f)
	}
	return frames
}

type randomParts struct {
	src []byte
	rnd *rand.Rand
}

func (r *randomParts) Read(b []byte) (int, error) {
	if len(r.src) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+r.rnd.IntN(3000))], r.src)
	r.src = r.src[n:]
	return n, nil
}

func TestPayloadsStayValidWhileTheReaderReadsOn(t *testing.T) {
	var stream []byte
	for i := range 50 {
		stream = AppendFrame(stream, &Frame{Payload: bytes.Repeat([]byte{byte(i)}, 300)})
	}
	r := NewReader(bytes.NewReader(stream), Limits{})
	frames := make([]Frame, 50)
	for i := range frames {
		if err := r.Read(&frames[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range frames {
		if !bytes.Equal(frames[i].Payload, bytes.Repeat([]byte{byte(i)}, 300)) {
			t.Fatalf("the payload of frame %d was overwritten", i)
		}
	}
}

func TestEOFWithinAFrameIsUnexpected(t *testing.T) {
	for _, size := range []int{5, 100_000} {
		b := AppendFrame(nil, &Frame{Service: "S", Payload: make([]byte, size)})
		for _, n := range []int{1, HeaderBytes - 1, HeaderBytes, HeaderBytes + 1, len(b) - 1} {
			err := NewReader(bytes.NewReader(b[:n]), Limits{}).Read(new(Frame))
			if err != io.ErrUnexpectedEOF { //nolint:errorlint // the bare value is promised
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	}
}

func TestErrorsOfTheConnectionAreReturnedUnchanged(t *testing.T) {
	broken := errors.New("broken")
	err := NewReader(iotest.ErrReader(broken), Limits{}).Read(new(Frame))
	if err != broken { //nolint:errorlint // the bare value is promised
		t.Errorf("got %v", err)
	}
	err = NewReader(never{}, Limits{}).Read(new(Frame))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type never struct{}

func (never) Read([]byte) (int, error) { return 0, nil }

func TestOnBodyIsCalledOnceForAnIncompleteFrame(t *testing.T) {
	small := AppendFrame(nil, &Frame{Payload: make([]byte, 100)})
	long := AppendFrame(nil, &Frame{Payload: make([]byte, 100_000)})
	tests := []struct {
		name  string
		parts [][]byte
		want  []int // calls up to the end of each frame
	}{
		{"whole", [][]byte{small}, []int{0}},
		{"two at once", [][]byte{append(bytes.Clone(small), small...)}, []int{0, 0}},
		{"cut in the header", [][]byte{small[:3], small[3:]}, []int{1}},
		{"cut behind the header", [][]byte{small[:HeaderBytes], small[HeaderBytes:]}, []int{1}},
		{"cut three times", [][]byte{small[:3], small[3:9], small[9:50], small[50:]}, []int{1}},
		{"second cut", [][]byte{append(bytes.Clone(small), small[:3]...), small[3:]}, []int{0, 1}},
		{"long", [][]byte{long}, []int{1}},
		{"cut twice", [][]byte{small[:3], small[3:], small[:3], small[3:]}, []int{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			r := NewReader(&parts{tt.parts}, Limits{})
			r.OnBody = func() { calls++ }
			for i, want := range tt.want {
				if err := r.Read(new(Frame)); err != nil {
					t.Fatal(err)
				}
				if calls != want {
					t.Errorf("frame %d: %d calls, want %d", i, calls, want)
				}
			}
		})
	}
}

// parts returns one part for each Read.
type parts struct{ left [][]byte }

func (p *parts) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

func TestMemoryGrowsWithTheBytesThatArrive(t *testing.T) {
	for _, claim := range []uint32{20_000, 4 << 20, 1<<32 - 1} {
		used := memoryOfClaim(t, claim)
		for range 4 { // what goroutines of other tests allocate meanwhile counts too
			used = min(used, memoryOfClaim(t, claim))
		}
		if used > 16<<10 {
			t.Errorf("a claim of %d bytes took %d", claim, used)
		}
	}
}

// memoryOfClaim returns what is allocated for a frame that claims a number of bytes, and ends after 100.
func memoryOfClaim(t *testing.T, claim uint32) (used uint64) {
	t.Helper()
	header := AppendFrame(nil, &Frame{Service: "S"})[:HeaderBytes]
	binary.BigEndian.PutUint32(header[12:], claim)
	peer, conn := net.Pipe()
	defer conn.Close()
	r := NewReader(conn, Limits{})
	waiting := make(chan struct{})
	r.OnBody = func() { close(waiting) }
	done := make(chan error, 1)
	go func() {
		var err error
		used = allocated(func() { err = r.Read(new(Frame)) })
		done <- err
	}()
	if _, err := peer.Write(header); err != nil {
		t.Fatal(err)
	}
	<-waiting
	if _, err := peer.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	return used
}

func TestTheBufferIsSmallWheneverItIsEmpty(t *testing.T) {
	var burst []byte
	for range 200 {
		burst = AppendFrame(burst, &Frame{Service: "S", Payload: make([]byte, 500)})
	}
	r := NewReader(&parts{[][]byte{burst}}, Limits{})
	var f Frame
	grown := false
	for range 200 {
		if err := r.Read(&f); err != nil {
			t.Fatal(err)
		}
		grown = grown || r.big != nil
	}
	if !grown {
		t.Error("a burst was read in small parts")
	}
	if r.Buffered() != 0 {
		t.Fatal("bytes are left")
	}
	if err := r.Read(&f); err != io.EOF || r.big != nil { //nolint:errorlint // the bare value is promised
		t.Errorf("%v; waiting for the next frame it holds the big buffer: %t", err, r.big != nil)
	}
}

func TestFramesThatLookAlikeCostNoAllocation(t *testing.T) {
	b := AppendFrame(nil, &Frame{Service: "Arith", Method: "Mul", Metadata: Metadata{{MetaAuth, "token"}}, Payload: make([]byte, 581)})
	r := NewReader(&repeat{b: b}, Limits{})
	var f Frame
	n := testing.AllocsPerRun(1000, func() {
		if err := r.Read(&f); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// repeat returns b again and again.
type repeat struct {
	b   []byte
	pos int
}

func (r *repeat) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m := copy(b[n:], r.b[r.pos:])
		n, r.pos = n+m, (r.pos+m)%len(r.b)
	}
	return n, nil
}

func TestTheInternerIsBoundedAndNeverConfusesNames(t *testing.T) {
	var k interner
	for i := range 10_000 {
		name := fmt.Sprint("name", i%(keptNames+5))
		if got := k.name([]byte(name)); got != name {
			t.Fatalf("got %q, want %q", got, name)
		}
		meta := strings.Repeat("m", i%600)
		if got := k.metadata([]byte(meta)); got != meta {
			t.Fatalf("metadata of %d bytes differs", len(meta))
		}
	}
	if len(k.names) != keptNames || len(k.meta) > keptMetaBytes {
		t.Errorf("it keeps %d names and %d bytes", len(k.names), len(k.meta))
	}
}

func TestZeroLimitsMeanTheDefaults(t *testing.T) {
	want := Limits{
		MaxMessageBytes: 4 << 20, MaxDecompressedBytes: 16 << 20, MaxMetadataPairs: 64, MaxMetadataBytes: 8 << 10,
		MaxNameBytes: 256, MaxInFlight: 1000, FirstByteTimeout: 2 * time.Minute, BodyTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, WriteTimeout: 10 * time.Second,
	}
	if got := (Limits{}).WithDefaults(); got != want {
		t.Errorf("got %+v", got)
	}
	if got := (Limits{MaxMessageBytes: 7}).WithDefaults(); got.MaxMessageBytes != 7 {
		t.Errorf("got %+v", got)
	}
}

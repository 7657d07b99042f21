package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// conversation is one line of the recordings in testdata/golden.
type conversation struct {
	Name   string
	Peer   string
	Frames []struct{ From, Hex string }
}

func conversations(t testing.TB) []conversation {
	t.Helper()
	var all []conversation
	for _, name := range []string{"rpcx.jsonl", "easymicro2019.jsonl"} {
		f, err := os.Open(filepath.Join("testdata", "golden", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var c conversation
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, c)
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d conversations", len(all))
	}
	return all
}

func goldenFrames(t testing.TB) map[string][]byte {
	t.Helper()
	frames := map[string][]byte{}
	for _, c := range conversations(t) {
		for i, f := range c.Frames {
			frames[strings.Join([]string{c.Peer, c.Name, f.From, string(rune('a' + i))}, "/")] = unhex(t, f.Hex)
		}
	}
	return frames
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordedFramesReencodeByteIdentically(t *testing.T) {
	for name, b := range goldenFrames(t) {
		t.Run(name, func(t *testing.T) {
			f, rest, err := ParseFrame(b, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if len(rest) != 0 {
				t.Errorf("%d bytes left over", len(rest))
			}
			if got := AppendFrame(nil, &f); !bytes.Equal(got, b) {
				t.Errorf("got  %x\nwant %x", got, b)
			}
		})
	}
}

func TestReaderReadsRecordedFramesLikeParseFrame(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, b := range goldenFrames(t) {
		stream, want = append(stream, b...), append(want, b)
	}
	r := NewReader(bytes.NewReader(stream), Limits{})
	var f Frame
	for i, b := range want {
		if err := r.Read(&f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if got := AppendFrame(nil, &f); !bytes.Equal(got, b) {
			t.Errorf("frame %d: got  %x\nwant %x", i, got, b)
		}
	}
}

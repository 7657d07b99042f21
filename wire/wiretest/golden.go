package wiretest

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

// Conversation is a recorded exchange between a stock client and a stock server.
type Conversation struct {
	Name   string
	Peer   string
	What   string
	Frames []Recorded
}

// Recorded is a frame of a conversation.
type Recorded struct {
	From  string // "client" or "server"
	Bytes []byte
	Frame wire.Frame
}

// Golden reads the conversations in the files rpcx.jsonl and easymicro2019.jsonl of a folder, one a line.
func Golden(t testing.TB, folder string) []Conversation {
	t.Helper()
	var all []Conversation
	for _, name := range []string{"rpcx.jsonl", "easymicro2019.jsonl"} {
		all = append(all, conversations(t, filepath.Join(folder, name))...)
	}
	return all
}

// Recording returns the conversation with the given name in a folder.
func Recording(t testing.TB, folder, name string) Conversation {
	t.Helper()
	for _, c := range Golden(t, folder) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no conversation %s", name)
	return Conversation{}
}

func conversations(t testing.TB, name string) []Conversation {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []Conversation
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var c struct {
			Name   string `json:"name"`
			Peer   string `json:"peer"`
			What   string `json:"what"`
			Frames []struct {
				From string `json:"from"`
				Hex  string `json:"hex"`
			} `json:"frames"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conversation := Conversation{Name: c.Name, Peer: c.Peer, What: c.What}
		for _, f := range c.Frames {
			conversation.Frames = append(conversation.Frames, recorded(t, c.Name, f.From, f.Hex))
		}
		all = append(all, conversation)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%s: %d conversations, %v", name, len(all), err)
	}
	return all
}

func recorded(t testing.TB, name, from, text string) Recorded {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f, rest, err := wire.ParseFrame(b, wire.Limits{})
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %d bytes left over, %v", name, len(rest), err)
	}
	return Recorded{From: from, Bytes: b, Frame: f}
}

// InKind returns an error if an answer differs from the recorded one in anything but the payload. The answer to a failed
// call may have any text, but must have it under the keys of both rpcx and easymicro 2019.
func InKind(got, want *wire.Frame) error {
	if got.Type != want.Type || got.Heartbeat != want.Heartbeat || got.OneWay != want.OneWay || got.Codec != want.Codec ||
		got.Service != want.Service || got.Method != want.Method || got.Status != want.Status {
		return fmt.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want.Status == wire.StatusError {
		if got.Metadata.Get(wire.MetaError) == "" || got.Metadata.Get(wire.MetaErrorEasymicro) == "" {
			return fmt.Errorf("an error without a text: %v", got.Metadata)
		}
		return nil
	}
	if !slices.Equal(got.Metadata, want.Metadata) {
		return fmt.Errorf("metadata %v, want %v", got.Metadata, want.Metadata)
	}
	return nil
}

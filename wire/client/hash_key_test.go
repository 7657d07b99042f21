package client

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// shade is a number that has a name in JSON, and tint one whose pointer has.
type (
	shade int
	tint  int
)

func (s shade) MarshalText() ([]byte, error) { return []byte([]string{"red", "green"}[s]), nil }

func (t *tint) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"tint %d"`, *t), nil }

func TestHashKeyIsTheSameForEverySource(t *testing.T) {
	type base struct{ ID int }
	id := 7
	for name, tc := range map[string]struct {
		on   string
		args any
		want string
	}{
		"a text":     {"argument.User", struct{ User string }{"ann"}, "ann"},
		"by pointer": {"argument.user", &struct{ User string }{"ann"}, "ann"},
		"by tag": {"argument.user_id", struct {
			X string `json:"userId"`
		}{"ann"}, "ann"},
		"a number":         {"argument.ID", struct{ ID uint16 }{7}, "7"},
		"a fraction":       {"argument.ID", struct{ ID float64 }{1_000_000}, "1000000"},
		"a large one":      {"argument.ID", struct{ ID float64 }{1e21}, "1e+21"},
		"a time":           {"argument.ID", struct{ ID time.Time }{time.Unix(0, 0).UTC()}, "1970-01-01T00:00:00Z"},
		"embedded":         {"argument.ID", struct{ base }{base{7}}, "7"},
		"a pointer within": {"argument.ID", struct{ ID *int }{&id}, "7"},
		"an array":         {"argument.ID", struct{ ID [2]int }{[2]int{7, 8}}, "[7,8]"},
		"bytes":            {"argument.ID", struct{ ID []byte }{[]byte("ann")}, "YW5u"},
		"an object": {"argument.ID", struct {
			ID struct{ B, A string }
		}{struct{ B, A string }{"&", "a"}}, `{"A":"a","B":"\u0026"}`},
		"no array":                   {"argument.ID", struct{ ID []int }{}, ""},
		"a zero below it":            {"argument.ID", struct{ ID float64 }{math.Copysign(0, -1)}, "0"},
		"the largest":                {"argument.ID", struct{ ID uint64 }{math.MaxUint64}, "18446744073709551615"},
		"one with a name":            {"argument.ID", struct{ ID shade }{1}, "green"},
		"one with a name by pointer": {"argument.ID", &struct{ ID tint }{1}, "tint 1"},
		"one that is not asked":      {"argument.ID", struct{ ID tint }{1}, "1"},
		"a type of its own":          {"argument.ID", struct{ ID time.Duration }{7}, "7"},
		"a boolean":                  {"argument.ID", struct{ ID bool }{true}, "true"},
		"of a map":                   {"argument.ID", map[string]any{"id": 7}, "7"},
		"an empty text":              {"argument.User", struct{ User string }{}, ""},
		"a nil pointer":              {"argument.ID", struct{ ID *int }{}, ""},
		"no such field":              {"argument.Other", struct{ ID int }{7}, ""},
		"no struct":                  {"argument.ID", 7, ""},
		"nil":                        {"argument.ID", nil, ""},
		"metadata":                   {"metadata.user", nil, "m"},
		"other metadata":             {"metadata.User", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Resolver: newNames(), Policy: ConsistentHash, HashOn: tc.on})
			check := func(how string, cl *call) {
				if cl.hashed != (tc.want != "") || cl.hashed && cl.hash != hashOf(tc.want) {
					t.Errorf("%s: hashed %v, not of %q", how, cl.hashed, tc.want)
				}
			}
			for range 2 { // found, and remembered
				cl := &call{c: &c.catalog, req: &wire.Frame{Metadata: wire.Metadata{{"user", "m"}}}}
				cl.hashArgument(tc.args)
				check("argument", cl)
			}
			payload, err := wire.Append(wire.JSON, nil, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			cl := &call{c: &c.catalog, req: &wire.Frame{Codec: wire.JSON, Payload: payload, Metadata: wire.Metadata{{"user", "m"}}}}
			cl.hashPayload()
			check("JSON", cl)
		})
	}
}

// Stock peers and browsers write the same value in other ways.
func TestHashKeyIsTheSameForEveryFormOfJSON(t *testing.T) {
	c := newClient(t, Options{Resolver: newNames(), Policy: ConsistentHash, HashOn: "argument.ID"})
	for payload, want := range map[string]string{
		`{"ID":1e6}`:                           "1000000",
		`{"ID":1000000.0}`:                     "1000000",
		`{"ID":-0}`:                            "0",
		`{"ID":-0.0}`:                          "0",
		`{"ID":9007199254740993}`:              "9007199254740993",
		`{"ID":1E21}`:                          "1e+21",
		`{"ID":1000000000000000000000}`:        "1e+21",
		`{"ID":1e999}`:                         "1e999",
		`{"ID":"\u0061nn"}`:                    "ann",
		`{"ID": [ 1, "<" ]}`:                   `[1,"\u003c"]`,
		`{"x":{"ID":1},"id":{"b":1,"a":null}}`: `{"a":null,"b":1}`,
	} {
		cl := &call{c: &c.catalog, req: &wire.Frame{Codec: wire.JSON, Payload: []byte(payload)}}
		if cl.hashPayload(); !cl.hashed || cl.hash != hashOf(want) {
			t.Errorf("%s: hashed %v, not of %q", payload, cl.hashed, want)
		}
	}
}

func TestPayloadsThatAreNoObjectHaveNoKey(t *testing.T) {
	c := newClient(t, Options{Resolver: newNames(), Policy: ConsistentHash, HashOn: "argument.ID"})
	for _, payload := range []string{"", "[", "[1]", "{", `{"ID"`, `{"ID":`, `{"ID":[1}`, `{"ID":""}`, `{"ID":null}`, `{"x":}`, "\xff"} {
		cl := &call{c: &c.catalog, req: &wire.Frame{Codec: wire.JSON, Payload: []byte(payload)}}
		if cl.hashPayload(); cl.hashed {
			t.Errorf("%q has a key", payload)
		}
	}
}

func TestCallsWithOneKeyGoToOneServer(t *testing.T) {
	var list []string
	for range 4 {
		var s *server
		s = newServer(t, func(_ context.Context, _, res *wire.Frame) error {
			res.Metadata.Set("at", s.address)
			return nil
		})
		list = append(list, s.address)
	}
	c := newClient(t, Options{Resolver: serving(list...), Policy: ConsistentHash, HashOn: "metadata.user"})
	used := map[string]bool{}
	for _, user := range strings.Fields("ann bob cid dan eve fay gus hal ida jon kim lea max nat oli pia") {
		at := map[string]bool{}
		for range 5 {
			var m wire.Metadata
			if err := c.Call(t.Context(), "Arith", "Any", 1, nil, Metadata("user", user), ReplyMetadata(&m)); err != nil {
				t.Fatal(err)
			}
			at[m.Get("at")] = true
			used[m.Get("at")] = true
		}
		if len(at) != 1 {
			t.Errorf("%s went to %v", user, at)
		}
	}
	if len(used) < 3 {
		t.Errorf("all went to %v", used)
	}
}

func TestInvalidOptionsAreNamed(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.Resolver":       {},
		"Options.Policy":         {Resolver: newNames(), Policy: "best"},
		"Options.HashOn":         {Resolver: newNames(), Policy: ConsistentHash},
		`Options.HashOn "user"`:  {Resolver: newNames(), HashOn: "user"},
		"Options.Codec":          {Resolver: newNames(), Codec: "xml"},
		"Options.Compression":    {Resolver: newNames(), Compression: 5},
		"Options.PoolSize":       {Resolver: newNames(), PoolSize: -1},
		"Options.ConnectTimeout": {Resolver: newNames(), ConnectTimeout: -1},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that names %s, got %v", want, err)
		}
	}
}

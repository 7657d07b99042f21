package host

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/easymicro/easymicro/wire/code"
)

var someDay = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func refusedAs(rule, caller, key string) refusalKey {
	return refusalKey{rule: rule, reason: code.ReasonRateLimited, caller: caller, code: code.ResourceExhausted, key: key}
}

func counted(list []refusal) (n int) {
	for i := range list {
		n += list[i].count
	}
	return n
}

func TestOnlyRefusalsOfOneKeyAndPeerAreCountedTogether(t *testing.T) {
	var r refusals
	peers := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	for i := range 40 {
		key := refusedAs("quota@r1", "web", fmt.Sprint("metadata.tenant=", i%2))
		key.peer = peers[i%4/2]
		r.add(someDay, key, func(e *refusal) { e.trace = fmt.Sprint("t", i) })
	}
	list := r.list("", time.Time{})
	if len(list) != 4 {
		t.Fatalf("%d places: %+v", len(list), list)
	}
	for _, e := range list {
		if e.count != 10 || e.various || e.key == "" || !e.peer.IsValid() || e.trace == "" {
			t.Errorf("%+v", e)
		}
	}
}

// Whoever makes up keys gets a few places a second; the others are counted without what differs.
func TestARefusedFloodOfKeysIsSampled(t *testing.T) {
	var r refusals
	r.add(someDay, refusedAs("other@r1", "ops", ""), func(*refusal) {})
	for second := range 3600 {
		for i := range 20 {
			r.add(someDay.Add(time.Duration(second)*time.Second), refusedAs("quota@r1", "web", fmt.Sprint(second, i)), func(e *refusal) { e.trace, e.state = "t", "0 of 1" })
		}
	}
	list := r.list("", time.Time{})
	if len(list) < refusalsKept-refusalsFreed || len(r.last) > refusalsKept || r.n != len(list) {
		t.Errorf("%d places, %d keys", len(list), len(r.last))
	}
	for _, e := range list[:9] {
		if e.various != (e.count == 12) || e.various && (e.key != "" || e.trace != "" || e.state != "" || e.rule != "quota@r1") {
			t.Errorf("%+v", e)
		}
	}
	if counted(list[:9]) != 20 {
		t.Errorf("%d of 20 are counted", counted(list[:9]))
	}
	if got := r.list("ops", time.Time{}); len(got) != 1 {
		t.Error("the refusal of another caller was pushed out")
	}
}

func TestAFloodOfCallersIsBounded(t *testing.T) {
	var r refusals
	for i := range 10 * refusalsKept {
		r.add(someDay.Add(time.Duration(i)), refusedAs("quota@r1", fmt.Sprint("c", i), ""), func(*refusal) {})
	}
	list := r.list("", time.Time{})
	if n := len(list); n < refusalsKept-refusalsFreed || len(r.groups) != n || len(r.last) != n || r.n != n || list[0].caller != fmt.Sprint("c", 10*refusalsKept-1) {
		t.Errorf("%d of %d groups, %d keys, first %s", len(list), len(r.groups), len(r.last), list[0].caller)
	}
}

// Whoever has most gives up the oldest, of several the one with the oldest.
func TestTheLongestGroupsGiveUpTheirOldest(t *testing.T) {
	var r refusals
	at := someDay
	add := func(caller string, n int) {
		for range n {
			at = at.Add(2 * refusalsMerged)
			r.add(at, refusedAs("quota@r1", caller, ""), func(*refusal) {})
		}
	}
	for i, n := range []int{10, 700, 200, 80, refusalsKept - 990} {
		add(fmt.Sprint(i), n)
	}
	add("new", 1)
	for i, want := range []int{10, 700 - refusalsFreed, 200, 80, refusalsKept - 990} {
		if got := len(r.list(fmt.Sprint(i), time.Time{})); got != want {
			t.Errorf("caller %d has %d, want %d", i, got, want)
		}
	}
	r = refusals{}
	for i := range refusalsKept / 2 {
		add(fmt.Sprint(i), 2)
	}
	add("new", 1)
	for i, want := range map[int]int{0: 1, refusalsFreed - 1: 1, refusalsFreed: 2, refusalsKept/2 - 1: 2} {
		if got := len(r.list(fmt.Sprint(i), time.Time{})); got != want {
			t.Errorf("of many alike, caller %d has %d, want %d", i, got, want)
		}
	}
}

// BenchmarkRefusalsOfManyCallers is what each refused call costs when no two are of one caller.
func BenchmarkRefusalsOfManyCallers(b *testing.B) {
	var r refusals
	callers := make([]string, 10_000)
	for i := range callers {
		callers[i] = fmt.Sprint("c", i)
	}
	i := 0
	for b.Loop() {
		r.add(someDay.Add(time.Duration(i)*time.Millisecond), refusedAs("quota@r1", callers[i%len(callers)], ""), func(*refusal) {})
		i++
	}
}

func TestLongNamesOfARefusalAreCutBetweenCharacters(t *testing.T) {
	var r refusals
	key := refusedAs("quota@r1", strings.Repeat("ü", 1000), "")
	key.target.Method = "a" + strings.Repeat("日", 1000) + "\xff"
	r.add(someDay, key, func(*refusal) {})
	e := r.list("", time.Time{})[0]
	for _, name := range []string{e.caller, e.target.Method} {
		if len(name) > maxNameBytes || !utf8.ValidString(name) || strings.HasSuffix(name, "\uFFFD…") {
			t.Errorf("%q", name)
		}
	}
}

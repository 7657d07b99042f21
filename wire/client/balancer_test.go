package client

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// someone is a filter for balancers without a client.
type someone struct {
	not    map[string]bool
	clock  int64
	hash   uint64
	hashed bool
}

func (s *someone) allows(m *member) bool { return !s.not[m.ep.Address] }
func (s *someone) now() int64            { return s.clock }
func (s *someone) key() (uint64, bool)   { return s.hash, s.hashed }

func none(addresses ...string) *someone {
	s := &someone{not: map[string]bool{}}
	for _, a := range addresses {
		s.not[a] = true
	}
	return s
}

// members returns endpoints a, b, … with weights, and with the load they have in old.
func members(old []*member, weights ...int64) []*member {
	list := make([]*member, len(weights))
	for i, w := range weights {
		e := Endpoint{Address: string(rune('a' + i)), Weight: int(w)}
		list[i] = &member{ep: e, index: i, weight: e.weight(), hash: hashOf(e.Address), load: new(load)}
		if i < len(old) {
			list[i].load = old[i].load
		}
	}
	return list
}

// picks counts n picks.
func picks(b balancer, f filter, n int) map[string]int {
	got := map[string]int{}
	for range n {
		m := b.pick(f)
		if m == nil {
			return got
		}
		got[m.ep.Address]++
	}
	return got
}

// wantShares checks that the shares are proportional to the weights, within off.
func wantShares(t *testing.T, got map[string]int, off float64, weights map[string]float64) {
	t.Helper()
	all, sum := 0.0, 0.0
	for _, n := range got {
		all += float64(n)
	}
	for _, w := range weights {
		sum += w
	}
	for a, n := range got {
		if share, want := float64(n)/all, weights[a]/sum; math.Abs(share-want) > off {
			t.Errorf("%s has a share of %.3f, want %.3f", a, share, want)
		}
	}
	if len(got) != len(weights) {
		t.Errorf("got %v, want %v", got, weights)
	}
}

func TestEveryBalancerIsEvenAndRespectsTheFilter(t *testing.T) {
	even := func(names string) map[string]float64 {
		w := map[string]float64{}
		for _, r := range names {
			w[string(r)] = 1
		}
		return w
	}
	for _, p := range []Policy{RoundRobin, WeightedRoundRobin, Random, LeastRequest, P2C, ConsistentHash} {
		t.Run(string(p), func(t *testing.T) {
			list := members(nil, 1, 1, 1, 1, 1)
			b := newBalancer(p, list, nil)
			wantShares(t, picks(b, none(), 20_000), 0.02, even("abcde"))
			wantShares(t, picks(b, none("b"), 20_000), 0.02, even("acde"))
			wantShares(t, picks(b, none("a", "b", "e"), 20_000), 0.02, even("cd"))
			wantShares(t, picks(b, none("a", "b", "c", "e"), 100), 0, even("d"))
			if m := b.pick(none("a", "b", "c", "d", "e")); m != nil {
				t.Errorf("picked %s, which it must not", m.ep.Address)
			}
			// Endpoints come and go: the next list takes over what was learned.
			b = newBalancer(p, members(list, 1, 1, 1), b)
			wantShares(t, picks(b, none(), 20_000), 0.02, even("abc"))
			b = newBalancer(p, members(list, 1, 1, 1, 1, 1, 1), b)
			wantShares(t, picks(b, none(), 20_000), 0.02, even("abcdef"))
			if m := newBalancer(p, nil, b).pick(none()); m != nil {
				t.Errorf("picked %s of nobody", m.ep.Address)
			}
		})
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	b := newBalancer(RoundRobin, members(nil, 1, 1, 1), nil)
	for range 5 {
		if got := picks(b, none(), 3); len(got) != 3 {
			t.Errorf("one round: %v", got)
		}
	}
}

func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	list := members(nil, 5, 1, 1)
	b := newBalancer(WeightedRoundRobin, list, nil)
	order := ""
	for range 7 {
		order += b.pick(none()).ep.Address
	}
	if order != "aabacaa" {
		t.Errorf("the order is %s", order)
	}
	wantShares(t, picks(b, none(), 7_000), 0, map[string]float64{"a": 5, "b": 1, "c": 1})
	wantShares(t, picks(b, none("a"), 1_000), 0, map[string]float64{"b": 1, "c": 1})
	// A list with a new weight continues the rotation instead of starting again with the heaviest.
	b = newBalancer(WeightedRoundRobin, members(list, 3, 1, 1, 1), b)
	wantShares(t, picks(b, none(), 6_000), 0.001, map[string]float64{"a": 3, "b": 1, "c": 1, "d": 1})
}

func TestWeightIsThatOfTheEndpointOrPublished(t *testing.T) {
	for want, e := range map[int64]Endpoint{
		1:         {},
		3:         {Weight: 3, Metadata: map[string]string{"weight": "9"}},
		9:         {Metadata: map[string]string{"weight": "9"}},
		maxWeight: {Metadata: map[string]string{"weight": "99999999999"}},
	} {
		if got := e.weight(); got != want {
			t.Errorf("%+v: %d, want %d", e, got, want)
		}
	}
	for _, bad := range []string{"", "0", "-1", "heavy"} {
		if e := (Endpoint{Metadata: map[string]string{"weight": bad}}); e.weight() != 1 {
			t.Errorf("%q: %d", bad, e.weight())
		}
	}
}

func TestLeastRequestAndP2CPreferFewerCallsInFlight(t *testing.T) {
	list := members(nil, 1, 1, 1)
	list[0].inFlight.Store(2)
	list[1].inFlight.Store(1)
	list[2].inFlight.Store(3)
	if got := picks(newBalancer(LeastRequest, list, nil), none(), 100); got["b"] != 100 {
		t.Errorf("got %v", got)
	}
	got := picks(newBalancer(P2C, list, nil), none(), 3_000)
	wantShares(t, got, 0.05, map[string]float64{"a": 1, "b": 2})
}

func TestLeastRequestAndP2CRespectWeights(t *testing.T) {
	list := members(nil, 4, 1, 1)
	b := newBalancer(LeastRequest, list, nil)
	wantShares(t, picks(b, none(), 20_000), 0.02, map[string]float64{"a": 4, "b": 1, "c": 1}) // no calls in flight
	for _, p := range []Policy{LeastRequest, P2C} {
		list := members(nil, 4, 1, 1)
		b := newBalancer(p, list, nil)
		for range 600 { // none of these ends
			b.pick(none()).begin()
		}
		for _, m := range list {
			if n := m.inFlight.Load(); n < 95*m.weight || n > 105*m.weight {
				t.Errorf("%s: %s, of weight %d, has %d of 600 calls", p, m.ep.Address, m.weight, n)
			}
		}
	}
}

func TestP2CPrefersFastEndpointsAndRetriesSlowOnes(t *testing.T) {
	list := members(nil, 1, 1)
	quick, slow := list[0], list[1]
	learn := func(m *member, at, took time.Duration, err error) {
		m.begin()
		m.end(int64(at-took), int64(at), err, true)
	}
	begin := time.Minute
	learn(quick, begin, time.Millisecond, nil)
	learn(slow, begin, 50*time.Millisecond, nil)
	b := newBalancer(P2C, list, nil)
	f := none()
	f.clock = int64(begin)
	if got := picks(b, f, 1000); got["a"] != 1000 {
		t.Errorf("got %v", got)
	}
	quick.inFlight.Store(100)
	if got := picks(b, f, 1000); got["b"] != 1000 {
		t.Errorf("with a queue at the quick one: %v", got)
	}
	quick.inFlight.Store(0)
	for s := range 70 {
		learn(quick, begin+time.Duration(s)*time.Second, time.Millisecond, nil)
	}
	f.clock = int64(begin + 70*time.Second)
	if got := picks(b, f, 1000); got["b"] == 0 {
		t.Errorf("the slow one is never tried again: %v", got)
	}
	for i := range 20 {
		learn(quick, begin+70*time.Second+time.Duration(i)*time.Millisecond, 0, failed(code.Unavailable, "", "no"))
	}
	learn(slow, begin+70*time.Second, 50*time.Millisecond, nil)
	if got := picks(b, f, 1000); got["b"] != 1000 {
		t.Errorf("quick failures attract calls: %v", got)
	}
}

func TestP2CNeitherStarvesNorFloodsNewEndpoints(t *testing.T) {
	list := members(nil, 1, 1, 1, 1)
	for _, m := range list[:3] {
		m.begin()
		m.end(0, int64(10*time.Millisecond), nil, true)
	}
	b := newBalancer(P2C, list, nil)
	for range 400 { // none of these ends
		b.pick(none()).begin()
	}
	if n := list[3].inFlight.Load(); n < 90 || n > 110 {
		t.Errorf("the new one has %d of 400 calls", n)
	}
}

func withKey(i int, not ...string) *someone {
	f := none(not...)
	f.hash, f.hashed = hashOf(fmt.Sprint("user-", i)), true
	return f
}

func TestConsistentHashMovesFewKeys(t *testing.T) {
	const keys = 20_000
	list := members(nil, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	where := func(b balancer, not ...string) []string {
		at := make([]string, keys)
		for i := range at {
			at[i] = b.pick(withKey(i, not...)).ep.Address
		}
		return at
	}
	before := where(newBalancer(ConsistentHash, list, nil))
	shares := map[string]int{}
	for _, a := range before {
		shares[a]++
	}
	for a, n := range shares {
		if n < keys/10*9/10 || n > keys/10*11/10 {
			t.Errorf("%s has %d of %d keys", a, n, keys)
		}
	}
	moved := func(after []string) (n int) {
		for i := range after {
			if after[i] != before[i] {
				n++
			}
		}
		return n
	}
	// One is removed, by the list or by the rules: only its keys move.
	for name, after := range map[string][]string{
		"left the list":      where(newBalancer(ConsistentHash, members(nil, 1, 1, 1, 1, 1, 1, 1, 1, 1), nil)),
		"must not be picked": where(newBalancer(ConsistentHash, list, nil), "j"),
	} {
		if n := moved(after); n != shares["j"] {
			t.Errorf("%s: %d keys move, want the %d that it had", name, n, shares["j"])
		}
	}
	// One is added: it gets its share, and nothing moves between the others.
	after := where(newBalancer(ConsistentHash, members(nil, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), nil))
	if n := moved(after); n < keys/11*8/10 || n > keys/11*12/10 {
		t.Errorf("%d keys move to the new one", n)
	}
	for i := range after {
		if after[i] != before[i] && after[i] != "k" {
			t.Fatalf("a key moves from %s to %s", before[i], after[i])
		}
	}
}

func TestConsistentHashRespectsWeights(t *testing.T) {
	b := newBalancer(ConsistentHash, members(nil, 3, 1), nil)
	got := map[string]int{}
	for i := range 20_000 {
		got[b.pick(withKey(i)).ep.Address]++
	}
	wantShares(t, got, 0.02, map[string]float64{"a": 3, "b": 1})
}

func TestConsistentHashSkipsOverloadedEndpoints(t *testing.T) {
	list := members(nil, 1, 1, 1, 1)
	b := newBalancer(ConsistentHash, list, nil)
	for range 400 { // of one key, and none ends
		b.pick(withKey(1)).begin()
	}
	most := int64(0)
	for _, m := range list {
		most = max(most, m.inFlight.Load())
	}
	if most < 100 || most > 126 {
		t.Errorf("one has %d of 400 calls, want no more than a quarter above its share", most)
	}
}

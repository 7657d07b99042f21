package wire_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// greedy takes calls, or bytes in pieces of n, in turns until no share gets any more.
func greedy(shares []*wire.Share, n int64) {
	for got := true; got; {
		got = false
		for _, s := range shares {
			got = n == 0 && s.AcquireCall() || n > 0 && s.AcquireBytes(n) || got
		}
	}
}

func sharesOf(b *wire.Budget, n int) []*wire.Share {
	all := make([]*wire.Share, n)
	for i := range all {
		all[i] = b.NewShare(nil)
	}
	return all
}

func TestGreedyConnectionsGetEqualSharesAndLeaveOneForTheNext(t *testing.T) {
	const most = 12_000
	for _, n := range []int{1, 2, 5, 7} {
		b := wire.NewBudget(most, most*1000)
		all := sharesOf(b, n)
		greedy(all, 0)
		greedy(all, 1000)
		newcomer := b.NewShare(nil)
		greedy([]*wire.Share{newcomer}, 0)
		greedy([]*wire.Share{newcomer}, 1000)
		fair := int64(most / (n + 1))
		for _, s := range all {
			calls, bytes := s.Held()
			if calls < fair-1 || calls > fair+1 || bytes < (fair-1)*1000 || bytes > (fair+1)*1000 {
				t.Fatalf("%d connections: one holds %d calls and %d bytes, want about %d and %d", n, calls, bytes, fair, fair*1000)
			}
		}
		if calls, bytes := newcomer.Held(); calls < fair/2 || bytes < fair/2*1000 {
			t.Errorf("%d connections: the newcomer gets %d calls and %d bytes, want %d and %d", n, calls, bytes, fair/2, fair/2*1000)
		}
		if u := b.Usage(); u.InFlight > most || u.BufferedBytes > most*1000 {
			t.Errorf("%d connections: %+v", n, u)
		}
	}
}

func TestManyGreedyConnectionsLeaveTheReserveToSmallOnes(t *testing.T) {
	const most = 8000
	b := wire.NewBudget(most, most<<10)
	known := b.NewShare(nil)
	if !known.AcquireCall() {
		t.Fatal("the budget is empty")
	}
	known.ReleaseCall()
	for round := range 3 { // the connections of a round stay, and others come
		all := sharesOf(b, 100)
		greedy(all, 0)
		greedy(all, 10<<10)
		for i := range 30 {
			if !known.AcquireCall() || !known.AcquireBytes(1000) {
				t.Fatalf("round %d: a connection that asks for little gets %d calls", round, i)
			}
		}
		for range 30 {
			known.ReleaseCall()
			known.ReleaseBytes(1000)
		}
		fresh := b.NewShare(nil)
		if !fresh.AcquireCall() || !fresh.AcquireBytes(1000) {
			t.Errorf("round %d: the first call of a new connection is refused", round)
		}
	}
	if u := b.Usage(); u.InFlight > most || u.BufferedBytes > most<<10 {
		t.Errorf("%+v", u)
	}
}

func TestReleasedBytesAreFreeForOthers(t *testing.T) {
	b := wire.NewBudget(10, 1000)
	first, second := b.NewShare(nil), b.NewShare(nil)
	greedy([]*wire.Share{first}, 0)
	held, _ := first.Held()
	for range held {
		first.ReleaseCall()
	}
	greedy([]*wire.Share{second}, 0)
	if got, _ := second.Held(); got != held || held != 5 {
		t.Errorf("the first got %d, the second %d, want 5 each", held, got)
	}
	if !first.AcquireBytes(300) || first.AcquireBytes(300) {
		t.Error("300 bytes of 1000 fit once")
	}
	first.ReleaseBytes(300)
	if u := b.Usage(); u.BufferedBytes != 0 {
		t.Errorf("%d bytes are left", u.BufferedBytes)
	}
}

func TestTheBudgetIsExceededOnlyWhenNothingElseIsHeld(t *testing.T) {
	b := wire.NewBudget(1, 1000)
	first, second := b.NewShare(nil), b.NewShare(nil)
	if !first.AcquireBytes(5000) || !first.AcquireCall() {
		t.Error("refused although nothing is held")
	}
	if second.AcquireBytes(100) || second.AcquireCall() {
		t.Error("there is nothing left")
	}
	if !second.AcquireBytes(60) || second.AcquireBytes(60) {
		t.Error("a last part, of one in sixteen, is for connections that hold little")
	}
	second.ReleaseBytes(60)
	if !second.AcquireBytes(60) {
		t.Error("what is given back is not there for others")
	}
}

func TestLimitsOfABudgetChangeAtOnce(t *testing.T) {
	b := wire.NewBudget(2, 100)
	s := b.NewShare(nil)
	greedy([]*wire.Share{s}, 0)
	b.SetLimits(20, 1000)
	greedy([]*wire.Share{s}, 0)
	if calls, _ := s.Held(); calls != 10 {
		t.Errorf("%d calls are taken, want 10", calls)
	}
	b.SetLimits(4, 1000)
	if s.AcquireCall() {
		t.Error("a call is taken beyond the new limit")
	}
	b.SetLimits(0, -1)
	if u := b.Usage(); u.MaxInFlight != wire.DefaultMaxInFlight || u.MaxBufferedBytes != wire.DefaultMaxBufferedBytes {
		t.Errorf("limits that are not positive give %+v", u)
	}
}

func TestConcurrentSharesNeverExceedTheBudget(t *testing.T) {
	const most = 1000
	b := wire.NewBudget(most, most)
	var all sync.WaitGroup
	for range 8 {
		s := b.NewShare(nil)
		all.Go(func() {
			for range 10_000 {
				if s.AcquireCall() {
					if calls, _ := s.Held(); calls > most/2 {
						t.Errorf("one share holds %d", calls)
					}
					s.ReleaseCall()
				}
				if s.AcquireBytes(3) {
					s.ReleaseBytes(3)
				}
			}
		})
	}
	all.Wait()
	if u := b.Usage(); u.InFlight != 0 || u.BufferedBytes != 0 {
		t.Errorf("left over: %+v", u)
	}
}

func TestABudgetRefusesWithOverloaded(t *testing.T) {
	b := wire.NewBudget(1, 1)
	e := b.Refuse("orders-1")
	if e.Code != code.Unavailable || e.Reason != code.ReasonOverloaded || e.RetryAfter <= 0 || e.Host != "orders-1" {
		t.Errorf("got %+v", e)
	}
	if u := b.Usage(); u.Refused != 1 {
		t.Errorf("%d are counted", u.Refused)
	}
}

// slowTaker is a Holder whose peer reads little.
type slowTaker struct {
	name           string
	waiting, taken int64
	cut            *[]string
}

func (s *slowTaker) Progress() (waiting, taken int64) { return s.waiting, s.taken }
func (s *slowTaker) Abort()                           { *s.cut = append(*s.cut, s.name) }

func TestPeersThatReadNothingAreCutWhenMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := wire.NewBudget(10, 1000)
		var cut []string
		add := func(name string, waiting int64) *slowTaker {
			peer := &slowTaker{name: name, waiting: waiting, cut: &cut}
			b.NewShare(peer).AddBytes(waiting)
			return peer
		}
		add("little", 50)
		steady := add("steady", 500)
		add("most", 300)
		add("some", 180)
		asks := b.NewShare(nil)
		for range 15 {
			if asks.AcquireBytes(100) {
				t.Fatal("there is nothing left")
			}
			steady.taken++
			time.Sleep(100 * time.Millisecond)
			if len(cut) > 0 {
				break
			}
		}
		if want := []string{"most"}; !slices.Equal(cut, want) {
			t.Errorf("cut are %v, want %v: that is enough", cut, want)
		}
	})
}

func TestPeersThatReadNothingAreKeptWhileThereIsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := wire.NewBudget(10, 1000)
		var cut []string
		peer := &slowTaker{name: "slow", waiting: 400, cut: &cut}
		b.NewShare(peer).AddBytes(400)
		asks := b.NewShare(nil)
		for range 100 {
			if !asks.AcquireBytes(100) {
				t.Fatal("there is enough")
			}
			asks.ReleaseBytes(100)
			time.Sleep(100 * time.Millisecond)
		}
		if len(cut) > 0 {
			t.Errorf("cut are %v", cut)
		}
	})
}

// Calls hold small arguments without being charged for them: with as many as there may be, a quarter of the budget.
func TestUnchargedArgumentsTakeAQuarterOfTheBudget(t *testing.T) {
	for _, tt := range []struct {
		calls int
		bytes int64
		free  int
	}{
		{20_000, 1 << 30, 1 << 30 / 20_000 / 4},
		{0, 0, 1 << 30 / 20_000 / 4}, // the defaults
		{20_000, 64 << 20, 4 << 10},  // less is not worth a walk
		{1, 1 << 30, 1 << 28},
	} {
		c := wire.NewCall(t.Context(), wire.CallOptions{Share: wire.NewBudget(tt.calls, tt.bytes).NewShare(nil)})
		if got := c.Free(); got != tt.free {
			t.Errorf("%d calls, %d bytes: %d bytes are free, want %d", tt.calls, tt.bytes, got, tt.free)
		}
		c.End()
	}
}

func TestTheChargeOfACallIsReleasedAtItsEnd(t *testing.T) {
	b := wire.NewBudget(10, 1000)
	s := b.NewShare(nil)
	c := wire.NewCall(t.Context(), wire.CallOptions{Share: s})
	if err := c.Charge(400); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Charge(400), code.Unavailable, code.ReasonOverloaded)
	if _, bytes := s.Held(); bytes != 400 {
		t.Errorf("%d bytes are held", bytes)
	}
	c.End()
	c.End()
	if err := c.Charge(400); err != nil {
		t.Errorf("a call that has ended is charged: %v", err)
	}
	if _, bytes := s.Held(); bytes != 0 {
		t.Errorf("%d bytes are left", bytes)
	}
	free := wire.NewCall(t.Context(), wire.CallOptions{})
	defer free.End()
	if err := free.Charge(1 << 40); err != nil {
		t.Errorf("a call without a Share: %v", err)
	}
}

func TestTheOnlyCallOfAHostMayUseTheWholeBudget(t *testing.T) {
	const most = 1 << 20
	b := wire.NewBudget(10, most)
	s, other := b.NewShare(nil), b.NewShare(nil)
	if !s.AcquireCall() || !s.AcquireBytes(100<<10) || !s.AcquireBytes(most-100<<10) {
		t.Error("a lone call is refused what it could never have otherwise")
	}
	if s.AcquireBytes(1 << 10) {
		t.Error("more than the budget is taken")
	}
	s.ReleaseBytes(most - 100<<10)
	if !other.AcquireBytes(10<<10) || s.AcquireBytes(most-110<<10) {
		t.Error("while others hold something, one holds half")
	}
	other.ReleaseBytes(10 << 10)
	if !s.AcquireCall() || s.AcquireBytes(most-100<<10) {
		t.Error("two calls of a connection hold half")
	}
}

func TestReleasedAnswersDoNotRepayAnOverdraftThatIsStillHeld(t *testing.T) {
	const most, little = 1 << 20, 60 << 10
	b := wire.NewBudget(0, most)
	shares := sharesOf(b, 3)
	for _, s := range shares {
		s.AcquireCall()
		s.ReleaseCall()
	}
	others := b.NewShare(nil)
	others.AddBytes(2 * most)
	first, second, third := shares[0], shares[1], shares[2]
	if !first.AcquireBytes(little) {
		t.Fatal("a connection that holds little gets nothing")
	}
	for range 30 {
		first.AddBytes(2 << 10)
		first.ReleaseBytes(2 << 10)
	}
	if second.AcquireBytes(little) {
		t.Error("more than a sixteenth is taken beyond the budget")
	}
	first.ReleaseBytes(little)
	if !second.AcquireBytes(little) {
		t.Error("what was given back is not there for others")
	}
	others.ReleaseBytes(2 * most) // now it is part of the budget
	second.ReleaseBytes(1)
	others.AddBytes(2 * most)
	if !third.AcquireBytes(little) {
		t.Error("what is within the budget again counts as beyond it")
	}
}

func TestNoConnectionIsCheckedWhileOnlyGreedyOnesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := wire.NewBudget(10, 1000)
		asked := 0
		b.NewShare(askedTaker{&asked}).AddBytes(300)
		greedy := b.NewShare(nil)
		for range 50 {
			greedy.AcquireBytes(500)
			time.Sleep(100 * time.Millisecond)
		}
		if asked > 0 {
			t.Errorf("connections are looked at %d times, though there is room", asked)
		}
	})
}

// askedTaker counts the calls of Progress.
type askedTaker struct{ n *int }

func (a askedTaker) Progress() (waiting, taken int64) { *a.n++; return 1, 0 }
func (askedTaker) Abort()                             {}

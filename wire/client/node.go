package client

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// state is how a node can be reached.
type state int32

const (
	idle         state = iota // nobody wanted it yet, or not for long: a call may have it dialled
	connecting                // for the first time: calls may wait for it
	reconnecting              // it was lost, or has drained, after a good time, or is listed anew: calls may wait for it if there is nothing better
	ready
	backoff  // it could not be reached: it is dialled again when its time has come
	draining // it asked to be left, and could not be reached again yet
)

var stateNames = [...]string{
	idle: "idle", connecting: "connecting", reconnecting: "connecting", ready: "ready", backoff: "backoff", draining: "draining",
}

func (s state) String() string { return stateNames[s] }

// node is a place with its connections. It is shared by the services that are there. One goroutine, keep, makes the
// connections; it runs while there are any, or somebody wants some.
type node struct {
	c *Client
	place

	users    atomic.Pointer[[]user] // who lists it; written under Client.mu
	latest   atomic.Pointer[user]   // one of them before the last change
	unlisted atomic.Bool            // nobody does
	state    atomic.Int32
	tardy    atomic.Bool            // its first dial takes long: others are preferred
	links    []atomic.Pointer[link] // the last one is for long messages
	long     atomic.Int64           // when there was the last long message, see Client.now; 0: never
	turn     atomic.Uint64
	kick     chan struct{} // wakes keep

	mu       sync.Mutex
	leaving  map[*link]struct{} // out of use, but with calls out
	keeping  bool
	closed   bool
	cancel   context.CancelFunc // of the dial that is going on
	demanded bool               // a call waits for a connection
	drained  bool               // the last connection was given up because the peer drains
	paced    bool               // it ended well, but soon: the next one waits for soonest
	failures int                // dials and short lives in a row
	soonest  time.Time          // no dial before
	dials    [2]time.Time       // when the last two began
	err      error              // why there is no connection
	changed  chan struct{}      // closed when the state changes; made by those who wait for that
}

// user is a service that lists a node, and what it asks of the node's address.
type user struct {
	*service
	check func(netip.Addr) error // nil takes all
}

const (
	firstBackoff  = 500 * time.Millisecond
	backoffFactor = 1.6
	backoffCap    = 2 * time.Second
	goodLife      = time.Second            // a connection that lived so long was a good one: the next is dialled at once
	redialSpread  = 200 * time.Millisecond // unless nobody waits for it: then within so long
	inUse         = time.Minute            // a node is kept connected while a service on it was called within so long
)

// The users are few, and rarely change: each change makes a new list.
func (n *node) addUser(u user) {
	users := append([]user{u}, n.usersWithout(u.service)...)
	n.users.Store(&users)
	n.unlisted.Store(false)
}

func (n *node) removeUser(s *service) {
	if users := *n.users.Load(); len(users) > 0 {
		n.latest.Store(&users[0])
	}
	left := n.usersWithout(s)
	n.users.Store(&left)
}

func (n *node) usersWithout(s *service) []user {
	return slices.DeleteFunc(slices.Clone(*n.users.Load()), func(u user) bool { return u.service == s })
}

// check returns why an address is not dialled: none of the users takes it. A dial that has outlived them goes by the last.
func (n *node) check(ip netip.Addr) (err error) {
	users := *n.users.Load()
	if latest := n.latest.Load(); len(users) == 0 && latest != nil {
		users = []user{*latest}
	}
	for _, u := range users {
		if u.check == nil {
			return nil
		}
		if err = u.check(ip); err == nil {
			return nil
		}
	}
	return err
}

// settleUsers lets go of the connections when the node has no user any more, but not of those with calls out: the place
// may come back. Calls that wait for one are told. The result is whether nothing is left.
func (n *node) settleUsers() (empty bool) {
	if len(*n.users.Load()) > 0 {
		return false
	}
	n.unlisted.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	empty = true
	for i := range n.links {
		if l := n.links[i].Load(); l != nil && !n.retire(l) {
			empty = false
		}
	}
	n.tell()
	n.wake()
	return empty && !n.keeping && (n.failures == 0 || time.Since(n.dials[1]) > dialWindow) // it may be listed again at once
}

// wanted tells whether connections are worth having.
func (n *node) wanted() bool {
	for _, u := range *n.users.Load() {
		if u.usedWithin(inUse) {
			return true
		}
	}
	return false
}

// longMessage is a payload that keeps a connection busy long enough for small calls to notice.
const longMessage = 256 << 10

// link is a connection that takes a call, nil when there is none. Who gets it gives it back. Long messages have one of
// their own, made when there are some, so that small calls do not wait behind them: a frame is sent whole.
func (n *node) link(long bool) *link {
	pool := len(n.links) - 1
	if long {
		if l := n.links[pool].Load(); l != nil && l.take() {
			return l
		}
		n.wantLong()
	}
	first := 0
	if pool > 1 {
		first = int(n.turn.Add(1) % uint64(pool))
	}
	for i := range pool {
		if l := n.links[(first+i)%pool].Load(); l != nil && l.take() {
			return l
		}
	}
	if l := n.links[pool].Load(); l != nil && l.take() {
		return l
	}
	return nil
}

// wantLong has the connection for long messages made. The call that wants it does not wait for that.
func (n *node) wantLong() {
	now := max(n.c.now(), 1)
	if last := n.long.Swap(now); last == 0 || now-last > int64(time.Second) {
		n.wake()
	}
}

// hasLong reports whether there were long messages of late. It needs no lock.
func (n *node) hasLong() bool {
	last := n.long.Load()
	return last != 0 && n.c.now()-last <= int64(inUse)
}

// absence is why there is no connection, and in how long the next attempt to make one is due.
func (n *node) absence() (in time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(time.Until(n.soonest), 0), n.err
}

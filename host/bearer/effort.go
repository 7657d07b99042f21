package bearer

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	verifyShare  = 4                      // signatures are verified on 1/verifyShare of the processors, at least one
	maxWaiting   = 1000                   // calls that wait to have their token verified
	waitRetry    = 100 * time.Millisecond // for calls beyond maxWaiting
	failureEvery = 100 * time.Millisecond // a peer may have so many tokens rejected in the long run,
	failureBurst = 100                    // and so many at once
	maxPeers     = 10_000                 // whose failures are remembered
	peerBits     = 64                     // of an IPv6 address: a peer has all of its network
)

// BusyError reports a token that was not verified, since many others are or were: whether it is valid is not known.
type BusyError struct {
	what       string
	RetryAfter time.Duration
}

// Error returns a text that is fit for callers.
func (e *BusyError) Error() string { return e.what }

// effort bounds what the verification of signatures costs, so that forged tokens leave the processors to other calls.
type effort struct {
	slots   chan struct{} // one for each verification at a time
	waiting atomic.Int32

	mu    sync.Mutex
	peers map[netip.Addr]time.Time // when the failures of a peer are forgotten
}

func newEffort() *effort {
	return &effort{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/verifyShare)), peers: make(map[netip.Addr]time.Time)}
}

// spend calls verify once there is a slot for it, unless too many tokens of the peer were rejected. An error of verify is a further
// rejection.
func (e *effort) spend(ctx context.Context, peer netip.Addr, verify func() error) error {
	peer = network(peer)
	if err := e.exhausted(peer); err != nil {
		return err
	}
	if e.waiting.Add(1) > maxWaiting {
		e.waiting.Add(-1)
		return &BusyError{"too many tokens wait to be verified", waitRetry}
	}
	select {
	case e.slots <- struct{}{}:
		e.waiting.Add(-1)
	case <-ctx.Done():
		e.waiting.Add(-1)
		return &BusyError{"the token was not verified before the call ended", 0}
	}
	defer func() { <-e.slots }()
	if err := e.exhausted(peer); err != nil { // other calls of the peer may have failed meanwhile
		return err
	}
	err := verify()
	if err != nil {
		e.failed(peer)
	}
	return err
}

// exhausted returns an error if too many tokens of a peer were rejected.
func (e *effort) exhausted(peer netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ahead := time.Until(e.peers[peer].Add(-(failureBurst - 1) * failureEvery)); ahead > 0 {
		return &BusyError{"too many tokens of this peer were rejected", ahead}
	}
	return nil
}

// failed counts a rejected token of a peer. If all peers that are remembered have failed lately, it forgets any one of them.
func (e *effort) failed(peer netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	until, known := e.peers[peer]
	if !known && len(e.peers) >= maxPeers {
		e.makeRoom(now)
	}
	if until.Before(now) {
		until = now
	}
	e.peers[peer] = until.Add(failureEvery)
}

// makeRoom forgets a peer, preferably of some that it looks at one whose failures are over. It needs e.mu.
func (e *effort) makeRoom(now time.Time) {
	const look = 16
	looked, victim := 0, netip.Addr{}
	for peer, until := range e.peers {
		if victim = peer; until.Before(now) || looked >= look {
			break
		}
		looked++
	}
	delete(e.peers, victim)
}

// network returns the addresses that count as one peer; the zero Addr is one, too.
func network(peer netip.Addr) netip.Addr {
	peer = peer.Unmap()
	if !peer.Is6() {
		return peer
	}
	p, _ := peer.WithZone("").Prefix(peerBits) // fails only for too many bits
	return p.Addr()
}

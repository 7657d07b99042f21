package client

import "time"

// dialWindow is the time in which an endpoint is dialled again and again at most twice.
const dialWindow = time.Second

// dialling notes a dial. It needs n.mu.
func (n *node) dialling() { n.dials = [2]time.Time{n.dials[1], time.Now()} }

// allowed is t, or when the third dial of a window may be. It needs n.mu.
func (n *node) allowed(t time.Time) time.Time {
	if third := n.dials[0].Add(dialWindow); third.After(t) {
		return third
	}
	return t
}

// hurry brings the next dial forward: there is reason to ask again, such as that the resolver has just said that
// somebody is there. Calls wait for that dial if there is nothing better. It is false when there is a connection.
func (n *node) hurry() bool {
	if state(n.state.Load()) == ready {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if soon := n.allowed(time.Now()); soon.Before(n.soonest) {
		n.soonest = soon
	}
	switch state(n.state.Load()) {
	case backoff, draining:
		n.set(reconnecting)
	case idle, connecting, reconnecting, ready:
	}
	n.wake()
	return true
}

package client

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// usage has the time of the last call of a service, see core.now.
type usage struct{ used atomic.Int64 }

// touch records a call. It writes at most once a second, since all callers share the cache line.
func (u *usage) touch(now int64) {
	if now-u.used.Load() > int64(time.Second) {
		u.used.Store(now)
	}
}

func (u *usage) within(now int64, d time.Duration) bool { return now-u.used.Load() <= int64(d) }

// user is a service that lists a node, with the check of its endpoint.
type user struct {
	*usage
	check func(netip.Addr) error // nil permits all addresses
}

// users are the services that list a node. They rarely change, so every change makes a new list.
type users struct {
	list   atomic.Pointer[[]user]
	latest atomic.Pointer[user] // a user from before the last removal
}

func (l *users) all() []user {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (l *users) add(u user) {
	list := append([]user{u}, l.without(u.usage)...)
	l.list.Store(&list)
}

func (l *users) remove(of *usage) {
	if list := l.all(); len(list) > 0 {
		l.latest.Store(&list[0])
	}
	left := l.without(of)
	l.list.Store(&left)
}

func (l *users) without(of *usage) []user {
	return slices.DeleteFunc(slices.Clone(l.all()), func(u user) bool { return u.usage == of })
}

// calledWithin reports whether any of the services was called within d.
func (l *users) calledWithin(now int64, d time.Duration) bool {
	return slices.ContainsFunc(l.all(), func(u user) bool { return u.within(now, d) })
}

// check returns an error if no service permits the address. Without services it uses the latest one, for dials in progress.
func (l *users) check(ip netip.Addr) (err error) {
	list := l.all()
	if latest := l.latest.Load(); len(list) == 0 && latest != nil {
		list = []user{*latest}
	}
	for _, u := range list {
		if u.check == nil {
			return nil
		}
		if err = u.check(ip); err == nil {
			return nil
		}
	}
	return err
}

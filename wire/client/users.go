package client

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// usage is when a service was called last, see core.now.
type usage struct{ used atomic.Int64 }

// touch writes rarely: all callers read the same line.
func (u *usage) touch(now int64) {
	if now-u.used.Load() > int64(time.Second) {
		u.used.Store(now)
	}
}

func (u *usage) within(now int64, d time.Duration) bool { return now-u.used.Load() <= int64(d) }

// user is a service that lists a node, and what it asks of the node's address.
type user struct {
	*usage
	check func(netip.Addr) error // nil takes all
}

// users are the services that list a node: few, and rarely changed, so each change makes a new list.
type users struct {
	list   atomic.Pointer[[]user]
	latest atomic.Pointer[user] // one of them before the last change
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

// calledWithin reports whether one of the services was called within d.
func (l *users) calledWithin(now int64, d time.Duration) bool {
	return slices.ContainsFunc(l.all(), func(u user) bool { return u.within(now, d) })
}

// check returns why an address is not dialled: none of the services takes it. A dial that has outlived them goes by the
// last one.
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

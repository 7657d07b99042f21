package etcd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// Watch is that of client.Resolver: all watches share one watch of etcd. A name is looked up as it is, and else, if that
// is unique, without regard to case.
func (c *Cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	var told []known
	return c.watch(ctx, strings.ToLower(service), func(v view, first bool) {
		if first || !slices.EqualFunc(told, v.list, known.same) {
			told = v.list
			update(endpoints(v.list), nil)
		}
	}, func(err error) { update(nil, err) }, func(now time.Time) view { return c.table.lookup(now, service) })
}

// WatchServices tells update the names of all services that have endpoints, as Watch tells endpoints: first perhaps those of
// some layouts, and once more when Missing has become empty.
func (c *Cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	var told, found []string
	all := false
	return c.watch(ctx, "", func(v view, first bool) {
		if first || v.all != all || !slices.Equal(told, found) {
			told, all = found, v.all
			update(found, nil)
		}
	}, func(err error) { update(nil, err) }, func(now time.Time) view {
		list, v := c.table.all(now)
		found = make([]string, 0, len(list))
		for _, s := range list {
			found = append(found, s.name)
		}
		return v
	})
}

// Listed returns when all that there is of every layout has been listed once, or else, when ctx ends, with what is missing and
// why. Until then Watch and WatchServices tell what they have found of some layouts.
func (c *Cluster) Listed(ctx context.Context) error {
	waiting, enough := context.WithCancel(ctx)
	defer enough()
	var why error
	err := c.watch(waiting, "", func(view, bool) { enough() }, func(err error) { why = err }, func(time.Time) view {
		known, err := c.table.state()
		return view{known: known, err: err}
	})
	missing := c.Missing()
	if err != nil || len(missing) == 0 {
		return err
	}
	if why == nil {
		why = context.Cause(ctx)
	}
	return fmt.Errorf("%s: the keys of layout %s are not known: %w", c.o.label(), strings.Join(missing, ", "), why)
}

// Missing returns the layouts of which no list has come yet.
func (c *Cluster) Missing() []string {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	var names []string
	for i, l := range c.layouts {
		if !c.table.layouts[i].listed {
			names = append(names, l.name())
		}
	}
	return names
}

// watch tells what look sees, whenever it may have changed, until ctx ends. first is true when it has to be told even
// if it is what was told before: it was never, or an error came between.
func (c *Cluster) watch(ctx context.Context, name string, tell func(v view, first bool), fail func(error), look func(time.Time) view) error {
	wake := make(chan struct{}, 1)
	c.table.mu.Lock()
	c.table.waiting[wake] = name
	c.table.mu.Unlock()
	defer func() {
		c.table.mu.Lock()
		delete(c.table.waiting, wake)
		c.table.mu.Unlock()
	}()
	c.follow()
	expire := time.NewTimer(time.Hour)
	defer expire.Stop()
	first, failure := true, ""
	for {
		now := time.Now()
		v := look(now)
		if v.known {
			tell(v, first || failure != "" && v.err == nil)
			first = false
		}
		switch {
		case v.err == nil:
			failure = ""
		case v.err.Error() != failure:
			failure = v.err.Error()
			fail(v.err)
		}
		expire.Stop()
		if !v.expire.IsZero() {
			expire.Reset(v.expire.Sub(now))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.table.closed:
			return errClosed
		case <-wake:
		case <-expire.C:
		}
	}
}

func endpoints(list []known) []client.Endpoint {
	found := make([]client.Endpoint, len(list))
	for i, k := range list {
		found[i] = k.Endpoint
	}
	return found
}

// same tells that there is nothing new to tell. A key that was put again is new: its host may have been started again,
// and clients may have given it up meanwhile.
func (k known) same(other known) bool {
	return k.revision == other.revision && k.Network == other.Network && k.Address == other.Address &&
		k.Weight == other.Weight && maps.Equal(k.Metadata, other.Metadata)
}

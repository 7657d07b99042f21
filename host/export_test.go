package host

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// Directory is where a test says which services there are.
type Directory = outgoing.Directory

// LeadTo has a gateway.remote find its services in d from now on. No call may run, and no edit may be observed.
func LeadTo(h *Host, d Directory) error {
	g := h.current.Load()
	l, err := h.remotes.Open(g.routes.Remote.Cluster, d, nil, func() {})
	if err != nil {
		return err
	}
	var old *outgoing.RemoteClient
	h.applier.locked(func(*generation) {
		h.remotes.Directory = d
		old, g.out.Remote = g.out.Remote, l
		g.routes.Remote = route.NewRemote(g.set, g.policies, l.OtherHosts)
	})
	h.retiring.Go(func() { old.Discard(h.life) })
	l.Await(context.Background())
	return nil
}

// Upstream is the client of one.
func Upstream(h *Host, name string) *client.Client {
	return h.current.Load().out.Upstream(name).Client
}

// InUse reports whether calls use all clients of the last edit.
func InUse(h *Host) bool { return h.current.Load().out.InUse() }

// AdminOf returns what the admin API asks.
func AdminOf(h *Host) admin.Host { return h.adminHost }

// SecondLookAfter is how long a host that does not run yet waits before it looks again at an edit that takes much away.
func SecondLookAfter(h *Host, d time.Duration) { h.reloads.secondLookAfter = d }

// GoodAfter sets how long a revision that is applied from now on must be in force to be good.
func GoodAfter(h *Host, d time.Duration) {
	s := h.applier.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goodAfter = d
}

// HoldState has the writes to the state directory of a host wait until release is called, as on a disk that hangs.
func HoldState(h *Host) (release func()) {
	held := make(chan struct{})
	h.applier.state.writer.writes <- &stateWrite{do: func() error {
		<-held
		return nil
	}, done: make(chan error, 1)}
	return sync.OnceFunc(func() { close(held) })
}

// FailOnce has the next change of what runs fail.
func FailOnce(h *Host, err error) {
	var once sync.Once
	h.applier.locked(func(*generation) {
		h.applier.parts = append(h.applier.parts, func(context.Context, *generation, *generation) (s step, failure error) {
			once.Do(func() { failure = err })
			return nil, failure
		})
	})
}

// Fault has rules panic, from the next set on.
func Fault(h *Host, fault func(*policies.Options)) {
	h.applier.locked(func(*generation) { h.rules.fault = fault })
}

// OnPlan has f called while a generation is made.
func OnPlan(h *Host, f func(revision int)) {
	h.applier.parts = append(h.applier.parts, func(_ context.Context, _, next *generation) (step, error) {
		f(next.revision)
		return commitOnly(func(context.Context) {}), nil
	})
}

// OnCommit has f called when a generation comes into force.
func OnCommit(h *Host, f func(revision int)) {
	h.applier.parts = append(h.applier.parts, func(_ context.Context, _, next *generation) (step, error) {
		return commitOnly(func(context.Context) { f(next.revision) }), nil
	})
}

// CountShadow counts a call that a rule in shadow would have refused.
func CountShadow(h *Host, rule string, kind config.Kind, method policies.Target, caller string) {
	h.shadows.count(&refusalKey{rule: rule, target: method, caller: caller}, kind)
}

// ShadowCallers returns how many callers of rules in shadow are counted, and the most that there may be.
func ShadowCallers(h *Host) (n, most int) {
	h.shadows.mu.Lock()
	defer h.shadows.mu.Unlock()
	return len(h.shadows.callers), shadowsKept
}

// AssumeCPU has rules with shed decide by a CPU utilization, until an edit leaves no such rule.
func AssumeCPU(h *Host, u machine.Utilization) { h.rules.cpu.Assume(u) }

// CPUOf returns the CPU utilization that a host measures.
func CPUOf(h *Host) machine.Utilization { return h.rules.cpu.Utilization() }

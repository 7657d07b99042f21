package policies

import (
	"slices"

	"github.com/easymicro/easymicro/config"
)

// hold is an endpoint in use.
type hold struct {
	address    string
	admissions admissions
	outliers   [2]*outlier
}

// Admit is part of Endpoints.
func (a *attempt) Admit(address string) bool {
	if !a.take(address) {
		return false
	}
	h := hold{address: address}
	if !a.askOutliers(&h) || !a.askBreakers(&h) {
		h.admissions.settle(errExcluded, false, true)
		a.release(address)
		return false
	}
	h.admissions.start(a.trialTime)
	a.met = append(a.met, address)
	f := a.flight
	f.mu.Lock()
	a.holds = append(a.holds, h)
	f.mu.Unlock()
	return true
}

// take reserves an endpoint, unless the call has no business there.
func (a *attempt) take(address string) bool {
	f := a.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(a.met[:a.before], address) {
		return false // in vain already
	}
	if a.level == choosy && f.isTaken(a, address) {
		a.usedUp = true
		return false
	}
	a.address = address
	return true
}

func (a *attempt) release(address string) {
	f := a.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.address == address {
		a.address = ""
	}
}

// isTaken tells that the call is at an endpoint with another attempt, or was where it shall not go again.
func (f *flight) isTaken(a *attempt, address string) bool {
	for _, o := range f.running {
		if o != a && o.address == address {
			return true
		}
	}
	if len(f.tried) == 0 {
		return false
	}
	if f.retry != nil && f.retry.rule.retry.failMode == config.Failtry {
		return address != f.tried[len(f.tried)-1]
	}
	return slices.Contains(f.tried, address)
}

func (a *attempt) askOutliers(h *hold) bool {
	for i := range a.flight.outliers {
		j := &a.flight.outliers[i]
		if j.entry == nil {
			continue
		}
		e := j.outliers.endpoints.of(h.address)
		h.outliers[i] = e
		switch {
		case j.outliers.admits(e):
			j.counts.allow.Add(1)
		case a.level == anyone && j.carriesOut:
			j.counts.allow.Add(1) // nothing else is left
		case j.counts.refused(j.carriesOut):
			a.ejected = true
			return false
		}
	}
	return true
}

func (a *attempt) askBreakers(h *hold) bool {
	for slot := range a.flight.breakers {
		j := &a.flight.breakers[slot]
		if j.entry == nil || j.breakers == nil {
			continue
		}
		b := j.breakers.of(h.address)
		admission, left, ok := b.allow()
		b.herald.deliver()
		switch {
		case ok:
			j.counts.allow.Add(1)
			h.admissions.admit(slot, admission)
		case j.counts.refused(j.carriesOut):
			if a.open == nil || left < a.left {
				a.open, a.left = j.entry, left
			}
			return false
		}
	}
	return true
}

// Settle is part of Endpoints.
func (a *attempt) Settle(address string, err error) {
	f := a.flight
	f.mu.Lock()
	i := slices.IndexFunc(a.holds, func(h hold) bool { return h.address == address })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	h := a.holds[i]
	a.holds = slices.Delete(a.holds, i, i+1)
	if a.address == address {
		a.address = ""
	}
	f.mu.Unlock()
	a.settle(&h, err)
}

func (a *attempt) settle(h *hold, err error) {
	callers := a.callersDeadline(err)
	h.admissions.settle(err, callers, true)
	for i, e := range h.outliers {
		if e == nil {
			continue
		}
		outcome := err
		if err != errExcluded { //nolint:errorlint // our own sentinel, never wrapped
			outcome = usualFailures.outcome(err, 0, callers)
		}
		j := a.flight.outliers[i]
		j.outliers.report(e, j.rule.outlier, outcome)
	}
}

// unreached counts a call that failed since nobody can be reached against all who serve it: a client that waits for its
// next attempt to connect uses none of them, and so asks about none.
func (a *attempt) unreached(err error) {
	f := a.flight
	for _, address := range f.snapshot.directory.of(f.call.Upstream(), f.call.Service()) {
		h := hold{address: address}
		if !a.askOutliers(&h) || !a.askBreakers(&h) {
			h.admissions.settle(errExcluded, false, true)
			continue
		}
		a.met = append(a.met, address)
		h.admissions.start(a.trialTime)
		a.settle(&h, err)
	}
	a.usedUp, a.ejected = false, false // nobody is left to be less choosy about
}

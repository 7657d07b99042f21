package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// OutlierSettings are the bounds of outlier detection.
type OutlierSettings struct {
	Failures        int32 // in a row
	Interval        time.Duration
	BaseEjection    time.Duration
	MaxEjection     time.Duration
	MaxEjectPercent int
}

// Outliers ejects endpoints of one upstream that fail repeatedly.
type Outliers struct {
	notifier

	Endpoints *PerEndpoint[*Outlier]

	known func() int // endpoints of the upstream; 0: unknown
	epoch time.Time
	mu    sync.Mutex // taken to eject and to return
}

// Outlier is one endpoint under outlier detection.
type Outlier struct {
	address     string
	until       atomic.Int64 // end of the ejection, since epoch; 0: not ejected
	consecutive atomic.Int32

	// Under the lock of Outliers:
	times    int // ejections that are not forgiven
	returned time.Time
	since    time.Time
	cause    string
	total    uint64 // ejections ever
}

// The states of an endpoint that events report.
const (
	StateHealthy = "healthy"
	StateEjected = "ejected"
)

// NewOutliers returns an Outliers without endpoints. known returns how many endpoints the upstream has.
func NewOutliers(known func() int, notify func(Event)) *Outliers {
	return &Outliers{
		notifier: notifier{notify: notify}, known: known, epoch: time.Now(),
		Endpoints: NewPerEndpoint(func(address string) *Outlier { return &Outlier{address: address, since: time.Now()} }),
	}
}

// Admit reports whether an endpoint may be used. One whose ejection is over returns.
func (o *Outliers) Admit(e *Outlier) bool {
	until := e.until.Load()
	if until == 0 {
		return true
	}
	now := time.Now()
	if now.Sub(o.epoch) < time.Duration(until) {
		return false
	}
	o.restore(e, until, now)
	o.Notify()
	return true
}

// restore ends the ejection of an endpoint.
func (o *Outliers) restore(e *Outlier, until int64, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.until.CompareAndSwap(until, 0) {
		e.consecutive.Store(0)
		e.returned, e.since = o.epoch.Add(time.Duration(until)), now
		o.add(Event{Address: e.address, From: StateEjected, To: StateHealthy, At: now})
	}
}

// Report counts the outcome of a call: nil, ErrExcluded, or a failure.
func (o *Outliers) Report(e *Outlier, s *OutlierSettings, outcome error) {
	switch {
	case outcome == ErrExcluded: //nolint:errorlint // our own sentinel, never wrapped
	case outcome == nil:
		if e.consecutive.Load() != 0 {
			e.consecutive.Store(0)
		}
	case e.consecutive.Add(1) >= s.Failures && e.until.Load() == 0:
		o.eject(e, s, outcome)
	}
}

func (o *Outliers) eject(e *Outlier, s *OutlierSettings, why error) {
	now := time.Now()
	o.mu.Lock()
	defer o.Notify()
	defer o.mu.Unlock()
	if e.until.Load() != 0 || o.Endpoints.All()[e.address] != e || !o.mayEject(s, now) {
		return
	}
	if !e.returned.IsZero() {
		// Each interval in use since then forgives one ejection.
		e.times = max(e.times-int(now.Sub(e.returned)/max(s.Interval, 1)), 0)
	}
	e.times++
	e.total++
	d := s.MaxEjection
	if time.Duration(e.times) <= s.MaxEjection/max(s.BaseEjection, 1) {
		d = s.BaseEjection * time.Duration(e.times)
	}
	e.until.Store(max(int64(now.Add(d).Sub(o.epoch)), 1))
	e.since = now
	e.cause = fmt.Sprintf("%d consecutive failures, the last: %s", e.consecutive.Load(), describe(why))
	o.add(Event{Address: e.address, From: StateHealthy, To: StateEjected, Cause: fmt.Sprintf("%s; for %s", e.cause, short(d)), At: now})
}

// mayEject keeps a share of the endpoints in use, and always one.
func (o *Outliers) mayEject(s *OutlierSettings, now time.Time) bool {
	known, ejected := o.known(), 0
	all := o.Endpoints.All()
	if known == 0 {
		known = len(all)
	}
	for _, e := range all {
		if until := e.until.Load(); until != 0 && now.Sub(o.epoch) < time.Duration(until) {
			ejected++
		}
	}
	return ejected < min(known*s.MaxEjectPercent/100, known-1)
}

// OutlierStats is the state of one endpoint under outlier detection.
type OutlierStats struct {
	Address    string
	Ejected    bool
	Since      time.Time
	EjectedFor time.Duration // remaining time
	Cause      string        // of the last ejection
	Ejections  uint64
}

// Stats returns the state of an endpoint.
func (o *Outliers) Stats(e *Outlier) OutlierStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := OutlierStats{Address: e.address, Since: e.since, Cause: e.cause, Ejections: e.total}
	if until := e.until.Load(); until != 0 {
		s.EjectedFor = max(time.Duration(until)-time.Since(o.epoch), 0)
		s.Ejected = s.EjectedFor > 0
	}
	return s
}

package wire

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// cutEvery is the minimum time between two log lines about connections that were cut for the same reason, so that hostile
// peers cannot flood the log.
const cutEvery = time.Second

// cutLog logs connections that were cut for what their peers did. A metric counts them all.
type cutLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]loggedCut // by reason, of which there are few
}

type loggedCut struct {
	at         time.Time
	suppressed int // since then
}

func (l *cutLog) add(peer net.Addr, reason string, err error) {
	suppressed, log := l.count(reason, time.Now())
	if !log {
		return
	}
	const msg = "connection cut"
	l.log.Warn(msg, "peer", peer.String(), "reason", reason, "error", err.Error()) // first: a log sampler keeps it
	if suppressed > 0 {
		l.log.Warn(msg, "reason", reason, "suppressed", suppressed) // perhaps of as many peers
	}
}

// count reports whether to log a line, and how many others were suppressed before it.
func (l *cutLog) count(reason string, now time.Time) (suppressed int, log bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.last[reason]
	if ok && now.Sub(last.at) < cutEvery {
		last.suppressed++
		l.last[reason] = last
		return 0, false
	}
	if l.last == nil {
		l.last = make(map[string]loggedCut)
	}
	l.last[reason] = loggedCut{at: now}
	return last.suppressed, true
}

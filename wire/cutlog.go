package wire

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// cutEvery is the time between two lines about connections that were cut for the same reason: whoever provokes many
// shall not fill the log.
const cutEvery = time.Second

// cutLog tells of connections that were cut for what their peers did. The metric has the number of all.
type cutLog struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]toldCut // by reason, of which there are few
}

type toldCut struct {
	at   time.Time
	more int // since then
}

func (l *cutLog) tell(peer net.Addr, reason string, err error) {
	untold, tell := l.count(reason, time.Now())
	if !tell {
		return
	}
	const msg = "connection cut"
	l.log.Warn(msg, "peer", peer.String(), "reason", reason, "error", err.Error()) // first: a log without floods keeps it
	if untold > 0 {
		l.log.Warn(msg, "reason", reason, "suppressed", untold) // of as many peers, perhaps
	}
}

// count tells whether there is to be a line, and for how many others before it there was none.
func (l *cutLog) count(reason string, now time.Time) (untold int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.told[reason]
	if ok && now.Sub(last.at) < cutEvery {
		last.more++
		l.told[reason] = last
		return 0, false
	}
	if l.told == nil {
		l.told = make(map[string]toldCut)
	}
	l.told[reason] = toldCut{at: now}
	return last.more, true
}

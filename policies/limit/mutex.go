package limit

import "sync"

// mutex is a sync.Mutex for short sections. Lock tries again for a moment before it sleeps. A section takes a fraction of a
// microsecond, whereas a goroutine that sleeps runs again only once a processor has finished with others, which may take
// milliseconds: by then more are waiting, and soon all calls wait in line.
type mutex struct{ mu sync.Mutex }

// Lock tries mutexTries times with pauses, each twice as long as the one before. Without them it would keep taking the cache line
// from the goroutine that holds the lock.
const (
	mutexTries = 5
	mutexPause = 1024 // turns of an empty loop
)

func (m *mutex) Lock() {
	if !m.mu.TryLock() {
		m.retry()
	}
}

func (m *mutex) retry() {
	pause := mutexPause
	for range mutexTries {
		for range pause {
		}
		pause *= 2
		if m.mu.TryLock() {
			return
		}
	}
	m.mu.Lock()
}

func (m *mutex) Unlock() { m.mu.Unlock() }

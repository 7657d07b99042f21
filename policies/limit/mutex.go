package limit

import "sync"

// mutex is a sync.Mutex for short sections. Lock tries again for a moment before it sleeps. A section takes a fraction of a
// microsecond, whereas a goroutine that sleeps runs again only once a processor has finished with others, which may take
// milliseconds: by then more are waiting, and soon all calls wait in line.
type mutex struct{ mu sync.Mutex }

// mutexTries lasts longer than a section, even if the caches of another processor have its data.
const mutexTries = 2000

func (m *mutex) Lock() {
	if !m.mu.TryLock() {
		m.retry()
	}
}

func (m *mutex) retry() {
	for range mutexTries {
		if m.mu.TryLock() {
			return
		}
	}
	m.mu.Lock()
}

func (m *mutex) Unlock() { m.mu.Unlock() }

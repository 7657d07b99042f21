package wire

import (
	"sync"
	"syscall"
)

// sleepers waits for the next byte of connections that are asleep, with one goroutine for all: a goroutine for each would
// hold more memory than the connection does. The zero value is ready to use.
type sleepers struct {
	mu    sync.Mutex
	set   pollSet                 // nil: not open
	conns map[uintptr]*serverConn // by descriptor
}

// pollSet is a set of sockets that the operating system watches for us, apart from the set of the Go runtime. A closed socket
// leaves it.
type pollSet interface {
	// add has the set report once that a socket is readable or at its end.
	add(fd uintptr) error
	close()
}

// add has c roused when its socket is readable or at its end. It reports false if that is not possible.
func (s *sleepers) add(c *serverConn) bool {
	sc, ok := c.conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		if s.set, err = newPollSet(s.readable); err != nil {
			return false
		}
		s.conns = make(map[uintptr]*serverConn)
	}
	added := false
	err = raw.Control(func(fd uintptr) {
		if added = s.set.add(fd) == nil; added && c.asleep.Load() { // otherwise it was roused before: nobody would remove it
			c.sleepsAs = fd
			s.conns[fd] = c
		}
	})
	return added && err == nil
}

// remove forgets c, whose socket may be closed.
func (s *sleepers) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.sleepsAs] == c {
		delete(s.conns, c.sleepsAs)
	}
}

// readable rouses the connection with a descriptor, which may be another one by now: that does no harm.
func (s *sleepers) readable(fd uintptr) {
	s.mu.Lock()
	c := s.conns[fd]
	s.mu.Unlock()
	if c != nil {
		c.rouse()
	}
}

// close ends the goroutine. No connection may be asleep.
func (s *sleepers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set != nil {
		s.set.close()
		s.set = nil
	}
}

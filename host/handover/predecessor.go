package handover

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Predecessor is the old process, as seen from the new one. A nil one is none: it has passed nothing.
type Predecessor struct {
	State json.RawMessage // of the old process; nil: none

	answer *os.File
	errors *os.File      // a pipe to the old process
	alone  chan struct{} // closed when the old process has said go, or has ended

	mu      sync.Mutex
	lockDir string
	lock    *os.File // nil: none, or taken
	sockets []Socket // that nobody has taken yet
}

// Receive returns the process that has started this one to hand over to it, and nil if none has. Call it once, before anything
// is written to standard error.
func Receive() (*Predecessor, error) {
	text, ok := os.LookupEnv(Variable)
	if !ok {
		return nil, nil //nolint:nilnil // a nil Predecessor is none
	}
	if err := os.Unsetenv(Variable); err != nil {
		return nil, err
	}
	var about description
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		return nil, fmt.Errorf("%s: %w", Variable, err)
	}
	p := &Predecessor{State: about.State, lockDir: about.Lock, sockets: about.Sockets, alone: make(chan struct{})}
	words, err := inherited(fileWords, "words")
	if err == nil {
		p.answer, err = inherited(fileAnswer, "answers")
	}
	if err == nil {
		p.errors, err = restoreErrors(fileErrors)
	}
	next := uintptr(fileFirst)
	if err == nil && about.Lock != "" {
		p.lock, err = inherited(next, "lock")
		next++
	}
	for i := range p.sockets {
		if err == nil {
			p.sockets[i].File, err = inherited(next, p.sockets[i].Address)
			next++
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Variable, err)
	}
	_ = debug.SetCrashOutput(p.errors, debug.CrashOptions{}) // without it the old process does not know why
	go p.listen(words)
	return p, nil
}

func (p *Predecessor) listen(words *os.File) {
	defer close(p.alone)
	defer words.Close()
	lines := bufio.NewScanner(words)
	for lines.Scan() {
		if lines.Text() == wordGo {
			return
		}
	}
}

// Take returns the socket that was passed for a listener, and nil if none was: preferably that of the same name, since several
// may have port 0.
func (p *Predecessor) Take(listener, network, address string) (net.Listener, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // none was passed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := -1
	for i, s := range p.sockets {
		if s.Network == network && s.Address == address && (at < 0 || s.Listener == listener) {
			at = i
		}
	}
	if at < 0 {
		return nil, nil //nolint:nilnil // the same
	}
	file := p.sockets[at].File
	p.sockets = append(p.sockets[:at:at], p.sockets[at+1:]...)
	defer file.Close()
	return net.FileListener(file)
}

// Claim returns the sockets of a network that nobody has taken, which are then the caller's.
func (p *Predecessor) Claim(network string) (list []Socket) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = slices.DeleteFunc(p.sockets, func(s Socket) bool {
		if s.Network == network {
			list = append(list, s)
		}
		return s.Network == network
	})
	return list
}

// Lock returns the passed lock of a directory, and nil if none was passed.
func (p *Predecessor) Lock(dir string) *os.File {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lockDir != dir {
		return nil
	}
	lock := p.lock
	p.lock = nil
	return lock
}

// Ready tells the old process that this one serves.
func (p *Predecessor) Ready() { p.say(wordReady) }

// Yield tells the old process that this one has been told to end, and does not take over.
func (p *Predecessor) Yield() { p.say(wordYields) }

// Published tells the old process that discovery has this one.
func (p *Predecessor) Published() { p.say(wordPublished) }

func (p *Predecessor) say(word string) {
	_, _ = p.answer.WriteString(word + "\n") // an old process that has ended needs no answer
}

// Await waits for the old process to say go, and reports whether this one is to go on alone: also if the old process has ended
// without a word. It reports false when ctx ends first.
func (p *Predecessor) Await(ctx context.Context) bool {
	select {
	case <-p.alone:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Close closes what nobody has taken; the old process is told no more about crashes. Unix sockets lose their files.
func (p *Predecessor) Close() {
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	_ = p.errors.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lock != nil {
		_ = p.lock.Close()
	}
	for _, s := range p.sockets {
		if ln, err := net.FileListener(s.File); err == nil {
			if u, ok := ln.(*net.UnixListener); ok && s.Network == "unix" {
				u.SetUnlinkOnClose(true)
			}
			_ = ln.Close()
		}
		_ = s.File.Close()
	}
	p.sockets = nil
}

// Failed tells the old process why this one ends. A nil Predecessor is told nothing.
func (p *Predecessor) Failed(why string) {
	if p != nil {
		_, _ = p.errors.WriteString(strings.TrimSpace(why) + "\n")
	}
}

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/handover"
	"github.com/easymicro/easymicro/host/listen"
	"github.com/easymicro/easymicro/host/systemd"
)

const (
	readyWithin   = 30 * time.Second // for a new process to be ready
	probation     = 2 * time.Second  // for which it must live after that
	stopWithin    = 5 * time.Second  // for one that has failed to end by itself, beyond its grace period
	readyAgain    = 50 * time.Millisecond
	publishWithin = 10 * time.Second // for the new process, before the old one withdraws
)

// Errors of HandOver.
var (
	errInitProcess = errors.New("this process has PID 1, and its container ends with it: replace the container instead")
	errHandingOver = errors.New("another process is being started already")
	errNotInTime   = fmt.Errorf("the new process was not ready within %v", readyWithin)
	errInterrupted = errors.New("a rollback or a command of an operator came first: send SIGUSR2 again")
)

// succession replaces the process of a host by a new one, or takes over from one. Edits wait until it is decided which of the two
// processes goes on. Rollbacks, overrides and drains do not wait: with them, this process goes on.
type succession struct {
	*applier
	listeners *listen.Listeners
	drains    *drains
	before    *handover.Predecessor // nil: this process has been started by none
	systemd   *systemd.Manager      // nil: none
	pid       int

	yields bool // the process before goes on; set before Run drains
	busy   atomic.Bool
	cancel atomic.Pointer[context.CancelCauseFunc] // of the last hand-over; nil: there was none
	done   chan *handover.Successor                // has the process that has taken over
}

// handOver starts a program and has it take over. The error, which is logged, says why this process goes on.
func (s *succession) handOver(ctx context.Context, program string) error {
	err := s.try(ctx, program)
	switch {
	case errors.Is(err, ErrDraining), err != nil && ctx.Err() != nil:
		s.log.Info("not handed over: the host is draining")
	case errors.Is(err, errInitProcess), errors.Is(err, errHandingOver):
		s.log.Warn("hand-over refused", "why", err)
	case err != nil:
		s.log.Error("not handed over: this process serves on", "error", err)
	}
	return err
}

func (s *succession) try(ctx context.Context, program string) error {
	if s.pid == 1 {
		return errInitProcess
	}
	if !s.busy.CompareAndSwap(false, true) {
		return errHandingOver
	}
	defer s.busy.Store(false)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.cancel.Store(&cancel)
	stop := context.AfterFunc(s.applyCtx, func() { cancel(ErrDraining) })
	defer stop()
	next, err := s.start(ctx, program)
	if err != nil && next != nil {
		next.Stop(min(s.current.Load().set.Manifest.Host.Shutdown.GracePeriod.Std(), readyWithin) + stopWithin) // it may have calls
	}
	return err
}

// start starts the new process and waits until it has taken over. If there is an error, it must be stopped.
func (s *succession) start(ctx context.Context, program string) (*handover.Successor, error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.draining.Load() {
		return nil, ErrDraining
	}
	turn := writeTurn{s.state}
	o := handover.Options{Program: program}
	o.Lock, o.LockDir = turn.pause(s.first)
	defer turn.resume(s.current.Load())
	shared, err := s.listeners.Sockets().Share(s.current.Load().set)
	defer func() {
		for _, one := range shared {
			_ = one.File.Close()
		}
	}()
	o.Sockets = append(slices.Clip(shared), s.ofSystemd()...)
	if err == nil {
		o.State, err = json.Marshal(s.drains.drained.Load())
	}
	if err != nil {
		return nil, err
	}
	next, err := handover.Start(o)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", program, err)
	}
	s.log.Info("handing over to a new process", "program", program, "pid", next.PID())
	if err := await(ctx, next); err != nil {
		return next, err
	}
	s.goesOn(next.PID())
	if err := next.Go(); err != nil {
		s.goesOn(s.pid)
		return next, err
	}
	turn.handOver()
	s.draining.Store(true)
	s.done <- next
	return next, nil
}

// goesOn settles which process removes the files of unix sockets, and is the main one for systemd.
func (s *succession) goesOn(pid int) {
	s.listeners.Sockets().Own(pid == s.pid)
	if s.systemd != nil {
		s.systemd.HandOver(pid)
	}
}

// ofSystemd returns the sockets that systemd has passed, used or not.
func (s *succession) ofSystemd() (list []handover.Socket) {
	if s.systemd == nil {
		return nil
	}
	for name, files := range s.systemd.Files() {
		for _, f := range files {
			list = append(list, handover.Socket{Network: "systemd", Address: name, File: f})
		}
	}
	return list
}

// passed returns the socket that the process before, or systemd, has passed for a listener; nil: none has.
func (s *succession) passed(listener, network, address string) (net.Listener, error) {
	if network == "systemd" && s.systemd != nil {
		return s.systemd.Listen(address)
	}
	return s.before.Take(listener, network, address)
}

// await waits until a new process is ready, and a while longer.
func await(ctx context.Context, next *handover.Successor) error {
	inTime, cancel := context.WithTimeoutCause(ctx, readyWithin, errNotInTime)
	defer cancel()
	err := next.Ready(inTime)
	if errors.Is(err, errNotInTime) {
		if last := next.LastLines(); last != "" {
			err = fmt.Errorf("%w: %s", err, last)
		}
	}
	if err != nil {
		return err
	}
	return next.Survives(ctx, probation)
}

// interrupt has this process go on if another one has not taken over yet.
func (s *succession) interrupt() {
	if cancel := s.cancel.Load(); cancel != nil {
		(*cancel)(errInterrupted)
	}
}

// takeOver tells the process before that this one can serve, and has it accept once that one has stopped. It reports whether this
// process goes on alone; otherwise ctx has ended. The caller holds s.applying.
func (s *succession) takeOver(ctx context.Context) bool {
	if s.before == nil {
		return true
	}
	for !s.isReady(ctx) {
		if pause(ctx, readyAgain) != nil {
			return s.yield()
		}
	}
	s.before.Ready()
	if !s.before.Await(ctx) {
		return s.yield()
	}
	var drained *admin.Drained
	if json.Unmarshal(s.before.State, &drained) == nil {
		s.drains.drained.Store(drained)
	}
	writeTurn{s.state}.begin()
	s.listeners.Sockets().Own(true)
	s.listeners.Release()
	s.before.Close()
	s.log.Info("took over from the process before", "pid", s.pid)
	return true
}

// yield leaves the host to the process before, and returns false for takeOver.
func (s *succession) yield() bool {
	s.yields = true
	s.before.Yield()
	return false
}

func (s *succession) isReady(ctx context.Context) bool {
	return errors.Join(s.current.Load().ready(ctx)...) == nil
}

// published tells the process before once discovery has this one.
func (s *succession) published() {
	if s.before == nil {
		return
	}
	s.retiring.Go(func() {
		s.current.Load().out.AwaitRegistered(s.life)
		s.before.Published()
	})
}

// withdraw withdraws this process from discovery once the new one is there. What that has published stays.
func (s *succession) withdraw(ctx context.Context, next *handover.Successor) {
	waiting, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	next.Published(waiting)
	_ = s.current.Load().out.Withdraw(s.life) // the error is logged already
}

package policies

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Ticket is what a call holds from Enter to Done. The zero Ticket is ready for Enter; it stands in the caller's frame,
// must not be copied after Enter, and may be used again after Done.
type Ticket struct {
	deadline time.Time
}

// Deadline is when the call has to be answered: the earlier of the rules' timeout and the caller's own deadline.
func (t *Ticket) Deadline() (time.Time, bool) { return t.deadline, !t.deadline.IsZero() }

// Late is the answer to give at the deadline. It settles the breaker; places in flight stay taken until Done. It may be
// called while the handler runs and from another goroutine, but not after Done has returned and t is used again.
func (t *Ticket) Late() *code.Error {
	return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "timed out", "", "", 0)
}

// Done tells that the handler has returned, with the error that is the answer (nil, or coded; a panic as INTERNAL). It
// frees the places in flight and settles the breaker if Late has not. Further calls do nothing.
func (t *Ticket) Done(err error) {}

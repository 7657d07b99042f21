package host

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
)

// Actions of the audit log.
const (
	actionDrain   = "drain"
	actionUndrain = "undrain"
)

// drains takes a host out of service by command, and back into service. Meanwhile the host is not ready and not in discovery, but
// it serves calls and applies edits.
type drains struct {
	*applier
	publish func(*generation) // in discovery

	commands sync.Mutex                    // held until a command is carried out
	drained  atomic.Pointer[admin.Drained] // nil: in service
}

// drain withdraws the host from discovery.
func (d *drains) drain(who string) (*admin.DrainState, error) {
	d.rollbacks.hurry()
	d.commands.Lock()
	defer d.commands.Unlock()
	v := &admin.DrainState{Drained: d.drained.Load()}
	v.Changed = v.Drained == nil
	if v.Changed {
		v.Drained = &admin.Drained{Since: time.Now(), Who: who}
	}
	g, err := d.set(v.Drained)
	if err != nil {
		return nil, err
	}
	if v.Changed {
		d.log.Info("drained by command: not ready and withdrawn from discovery, still serving", "who", who)
		if err := g.out.Withdraw(d.life); err != nil {
			v.Warnings = strings.Split(err.Error(), "\n")
		}
	}
	d.audit(actionDrain, who, v.Changed, g)
	return v, nil
}

// undrain publishes the host again.
func (d *drains) undrain(who string) (*admin.DrainState, error) {
	d.commands.Lock()
	defer d.commands.Unlock()
	v := &admin.DrainState{Changed: d.drained.Load() != nil}
	g, err := d.set(nil)
	if err != nil {
		return nil, err
	}
	if v.Changed {
		d.log.Info("undrained by command: in service again", "who", who)
	}
	d.audit(actionUndrain, who, v.Changed, g)
	return v, nil
}

// set changes the state while no edit is being applied, and returns the generation in force.
func (d *drains) set(drained *admin.Drained) (g *generation, err error) {
	d.locked(func(now *generation) {
		switch {
		case d.draining.Load():
			err = ErrDraining
			return
		case d.drained.Swap(drained) != nil && drained == nil:
			d.publish(now)
		}
		g = now
	})
	return g, err
}

// audit records a command.
func (d *drains) audit(action, who string, changed bool, g *generation) {
	e := state.AuditEntry{At: time.Now(), Action: action, Who: who, Revision: g.revision, Hash: g.set.Hash, Result: ResultUnchanged}
	if changed {
		e.Result = ResultApplied
	}
	d.state.audit(e)
}

// check returns the condition of readiness.
func (d *drains) check() admin.Check {
	c := admin.Check{Name: "not drained by command", OK: true}
	if by := d.drained.Load(); by != nil {
		c.OK, c.Detail = false, "by "+by.Who+" at "+by.Since.UTC().Format(time.RFC3339)
	}
	return c
}

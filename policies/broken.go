package policies

import (
	"github.com/easymicro/easymicro/config"
)

// Broken is a kind of a rule that has panicked. Its snapshot does not ask it again: an enforced access rule refuses the calls that it
// matches, and any other kind lets them pass.
type Broken struct {
	Rule     string
	Kind     config.Kind
	Mode     config.Mode
	Position config.Position
	Panic    string
	Stack    string
}

// Effect returns what the kind does from then on, after its name.
func (b *Broken) Effect() string {
	if b.Kind == config.KindAccess && b.Mode != config.Shadow {
		return "refuses the calls that it matches"
	}
	return "lets calls pass"
}

package admin

import (
	"time"

	"github.com/easymicro/easymicro/config"
)

// Configuration is what a host runs, with the defaults and the place of every value.
type Configuration struct {
	Revision       int       `json:"revision"`
	Hash           string    `json:"hash"`
	PendingRestart []Pending `json:"pending_restart"` // values that take effect at the next start
	config.Effective
}

// Drained says since when a host is out of service by command, and by whom.
type Drained struct {
	Since time.Time `json:"since"`
	Who   string    `json:"who"`
}

// DrainState is the result of Drain or Undrain.
type DrainState struct {
	Drained  *Drained `json:"drained,omitempty"` // nil: it is in service
	Changed  bool     `json:"changed"`           // false: it was so before
	Warnings []string `json:"warnings"`          // why it may still be found in discovery
}

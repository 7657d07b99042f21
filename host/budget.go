package host

import (
	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/telemetry"
)

// limit gives the budget of the host the limits of a manifest. Where that does not say how much memory calls may take, it
// is a quarter of what there is.
func (h *Host) limit(l config.HostLimits) {
	most := int64(l.MaxBufferedBytes)
	if most == 0 {
		most = machine.Memory() / 4
	}
	h.budget.SetLimits(l.MaxInFlight, most)
}

func (h *Host) emitBudget(e *telemetry.Emitter) {
	u := h.budget.Usage()
	e.Budget(telemetry.Budget{
		InFlight: u.InFlight, MaxInFlight: u.MaxInFlight, Bytes: u.BufferedBytes, MaxBytes: u.MaxBufferedBytes, Refused: u.Refused,
	})
}

func (h *Host) budgetView() admin.Budget {
	u := h.budget.Usage()
	return admin.Budget{
		InFlight: u.InFlight, MaxInFlight: u.MaxInFlight, BufferedBytes: u.BufferedBytes, MaxBufferedBytes: u.MaxBufferedBytes,
		Refused: u.Refused,
	}
}

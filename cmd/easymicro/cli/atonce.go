package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
)

// lastQuestion is how long a process that was told to end at once takes to find out what it abandons.
const lastQuestion = 200 * time.Millisecond

// tellAtOnce says in the log that the host ends without its drain, and how many calls it abandons if that can be known.
func tellAtOnce(h *host.Host, log *slog.Logger) {
	const message = "ended at once by a second signal"
	if n, ok := callsInFlight(h); ok {
		log.Warn(message, "abandoned_calls", n)
		return
	}
	log.Warn(message)
}

// callsInFlight asks the host's admin listener, which serves until the last call has ended.
func callsInFlight(h *host.Host) (n int, ok bool) {
	token, err := host.AdminToken(h.Set())
	if err != nil || h.AdminURL() == "" {
		return 0, false
	}
	c := &admin.Client{Address: h.AdminURL(), Token: token}
	ctx, cancel := context.WithTimeout(context.Background(), lastQuestion)
	defer cancel()
	status, err := c.Status(ctx)
	if err != nil {
		return 0, false
	}
	for i := range status.Services {
		n += status.Services[i].InFlight
	}
	return n, true
}

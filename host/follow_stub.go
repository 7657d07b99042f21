package host
import ("context"; "github.com/easymicro/easymicro/host/admin")
type watchState struct{}
func (w *watchState) view() admin.Watch { return admin.Watch{} }
func (h *Host) follow(ctx context.Context) { <-ctx.Done() }

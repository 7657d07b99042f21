package host

import "net"

// Addr is where the listener of a name is bound, and nil when it is not.
func (h *Host) Addr(listener string) net.Addr {
	if st, ok := (*h.stages.Load())[listener]; ok {
		return st.socket.addr()
	}
	return nil
}

// Listening is what people are told of the listeners: "rpcx+http 127.0.0.1:8972 (this machine only)".
func (h *Host) Listening() []string {
	var labels []string
	for _, st := range h.inOrder() {
		labels = append(labels, st.label())
	}
	return labels
}

// inOrder is the listeners that are open, in the order of the manifest.
func (h *Host) inOrder() []*stage {
	stages := *h.stages.Load()
	var list []*stage
	for _, l := range h.Set().Manifest.Listeners {
		if st, ok := stages[l.Name]; ok {
			list = append(list, st)
		}
	}
	return list
}

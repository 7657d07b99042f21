package cli

import (
	"encoding/json"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
)

// readyView is the first line of serve -o json.
type readyView struct {
	Event     string   `json:"event"` // ready
	Host      string   `json:"host"`
	Listening []string `json:"listening"`
	Admin     string   `json:"admin,omitempty"`
	Services  []string `json:"services"`
	Routes    []string `json:"routes,omitempty"` // services of other hosts
	Revision  int      `json:"revision"`

	Warnings config.Problems `json:"warnings,omitempty"`
}

// revisionView is a line of serve -o json for each edit.
type revisionView struct {
	Event    string          `json:"event"` // revision
	At       time.Time       `json:"at"`
	Revision int             `json:"revision"` // in force
	Result   string          `json:"result"`   // applied, rejected, unchanged
	Source   string          `json:"source"`
	Took     float64         `json:"took_seconds,omitempty"`
	Changes  []string        `json:"changes,omitempty"`
	Error    string          `json:"error,omitempty"`
	Problems config.Problems `json:"problems,omitempty"`
	Warnings config.Problems `json:"warnings,omitempty"`
}

func (s *screen) readyJSON(h *host.Host) {
	v := readyView{
		Event: "ready", Host: h.Name(), Listening: h.Listening(), Admin: h.AdminURL(), Services: []string{}, Revision: 1,
		Warnings: s.warned,
	}
	for _, svc := range h.Services() {
		v.Services = append(v.Services, svc.Name)
	}
	if r := h.Remote(); r != nil {
		v.Routes = r.Services
	}
	s.event(v)
}

func (s *screen) revisionJSON(r host.Revision) {
	s.event(revisionView{
		Event: "revision", At: r.At, Revision: r.Number, Result: r.Result, Source: r.Source, Took: r.Took.Seconds(),
		Changes: r.Changes.Lines(), Error: r.Error, Problems: r.Problems, Warnings: r.Warnings,
	})
}

// event prints one line for programs.
func (s *screen) event(v any) {
	e := json.NewEncoder(s.io.Out)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // like every line of the screen, it is not worth ending the host for
}

package cli

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
)

// screen shows what a host serves, a call to try, and the result of each edit.
type screen struct {
	*printer
	manifest string
	set      *config.Set
	warnings bool // shown here, not only in the log

	mu      sync.Mutex
	started bool
	warned  config.Problems // of the running revision; shown already, once the host has started
}

// ready shows what the host serves, once it is ready.
func (s *screen) ready(h *host.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started, s.set = true, h.Set()
	if s.format == formatJSON {
		s.readyJSON(h)
		return
	}
	s.serving(h)
	if line := s.try(h); line != "" {
		s.line("%s    %s", s.paint(bold, "try"), line)
	}
	if file := s.editable(); file != gatewayManifest {
		s.line("%s   %s, save, and watch this screen", s.paint(bold, "edit"), file)
	}
	if s.set.Fallback == "" {
		s.showWarnings(s.warned)
		return
	}
	rejected := s.set.Rejected.Errors()
	if s.warnings {
		fallbackText(s.printer, &admin.Fallback{What: s.set.Fallback, Mend: rejected.Files()})
	}
	s.problems(rejected)
	s.showWarnings(slices.DeleteFunc(slices.Clone(s.warned), isAboutFallback))
}

// isAboutFallback reports whether a warning says that another set runs in place of the files.
func isAboutFallback(w config.Problem) bool {
	return w.Path == "policies.fallback" || w.Path == "policies.onBadStart"
}

// logged logs what the screen would have shown at startup.
func (s *screen) logged(h *host.Host, log *slog.Logger) {
	s.set = h.Set()
	services := []string{}
	for _, v := range h.Services() {
		services = append(services, serviceLine(&v))
	}
	if remote := s.remoteLine(h); remote != "" {
		services = append(services, remote)
	}
	attrs := []any{"services", services}
	if call := s.try(h); call != "" {
		attrs = append(attrs, "try", call)
	}
	if file := s.editable(); file != gatewayManifest {
		attrs = append(attrs, "edit", file)
	}
	log.Info("serving", attrs...)
	if s.set.Fallback != "" {
		rejected := s.set.Rejected.Errors()
		var problems []string
		for _, p := range rejected {
			problems = append(problems, p.String())
		}
		log.Warn("problems in the files replaced by the "+s.set.Fallback, "problems", problems)
	}
}

// serving shows the services and addresses, on one line for one service and one listener.
func (s *screen) serving(h *host.Host) {
	const shown = 5
	at := h.Listening()
	if url := h.AdminURL(); url != "" {
		if len(at) == 1 {
			at[0] += "   admin " + url
		} else {
			at = append(at, "admin "+url)
		}
	}
	services := h.Services()
	remote := s.remoteLine(h)
	if len(at) == 1 && len(services) < 2 && (remote == "" || len(services) == 0) {
		what := "no services"
		if len(services) == 1 {
			what = s.headed(serviceLine(&services[0]))
		} else if remote != "" {
			what = s.headed(remote)
		}
		s.line("%s   %s", what, at[0])
		return
	}
	if len(services) == 0 && remote == "" {
		s.line("no services")
	}
	for i := range services[:min(shown, len(services))] {
		s.line("%s", s.headed(serviceLine(&services[i])))
	}
	if more := len(services) - shown; more > 0 {
		s.line("and %d more: easymicro list", more)
	}
	if remote != "" {
		s.line("%s", s.headed(remote))
	}
	title := s.paint(bold, "at")
	for _, line := range at {
		s.line("%s     %s", title, line)
		title = "  "
	}
}

// headed highlights the first word of a line.
func (s *screen) headed(line string) string {
	head, rest, _ := strings.Cut(line, " ")
	return s.paint(bold, head) + " " + rest
}

func serviceLine(v *admin.Service) string {
	names := make([]string, len(v.Methods))
	for i := range v.Methods {
		names[i] = v.Methods[i].Name
	}
	return fmt.Sprintf("%s (%s)", v.Name, few(names, 8))
}

// try returns an example call of the first method that has one.
func (s *screen) try(h *host.Host) string {
	for _, v := range h.Services() {
		for i := range v.Methods {
			if curl := v.Methods[i].Example.Curl; curl != "" {
				return curl
			}
		}
	}
	return s.tryRemote(h)
}

// editable returns the files to edit: the invalid ones while a fallback is in use, else those with rules, else the manifest.
func (s *screen) editable() string {
	var files []string
	tokens := ""
	if t := s.set.Manifest.Auth.Tokens; t != nil {
		tokens = t.File
	}
	for _, f := range s.set.Files[1:] {
		if f.Path != tokens && s.set.Fallback == "" {
			files = append(files, s.beside(f.Path))
		}
	}
	for _, f := range s.set.Rejected.Errors().Files() {
		files = append(files, s.beside(f))
	}
	if len(files) == 0 {
		return s.manifest
	}
	return few(files, 3)
}

// beside resolves a path of the manifest.
func (s *screen) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.manifest), path)
}

// revision shows the result of an edit.
func (s *screen) revision(r host.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.warned
	if r.MadeRevision() {
		s.warned = r.Warnings
	}
	if !s.started || !r.IsTold() {
		return
	}
	if s.format == formatJSON {
		s.revisionJSON(r)
		return
	}
	switch r.Result {
	case host.ResultRejected:
		what := r.Error
		if len(r.Problems) > 0 {
			what = count(len(r.Problems.Errors()), "problem")
		}
		s.line("%s, r%d keeps running: %s", s.paint(red, "rejected"), r.Number, what)
		s.problems(r.Problems.Errors())
	case host.ResultHeld:
		s.line("%s, r%d keeps running: %s", s.paint(red, "held back"), r.Number, r.Why)
	case host.ResultApplied:
		if r.Source == host.SourceAutoRollback {
			s.line("%s", s.paint(red, r.Why))
		}
		s.line("%s", appliedText(s.printer, &r))
		if r.Forecast != nil && r.Forecast.Calls > 0 {
			forecastText(s.printer, r.Forecast)
		}
		s.showWarnings(newWarnings(known, r.Warnings))
	case host.ResultUnchanged:
		s.line("r%d keeps running: nothing changed", r.Number)
	}
}

func (s *screen) problems(problems config.Problems) {
	for _, p := range problems {
		s.line("  %s", p)
	}
}

func (s *screen) showWarnings(warnings config.Problems) {
	if !s.warnings {
		return
	}
	for _, w := range warnings {
		s.line("%s", warningText(s.printer, w))
	}
}

// newWarnings returns the warnings that are new, ignoring their positions.
func newWarnings(known, current config.Problems) config.Problems {
	type identity struct{ file, path, message string }
	old := make(map[identity]bool, len(known))
	for _, k := range known {
		old[identity{k.File, k.Path, k.Message}] = true
	}
	var fresh config.Problems
	for _, w := range current {
		if !old[identity{w.File, w.Path, w.Message}] {
			fresh = append(fresh, w)
		}
	}
	return fresh
}

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
	Revision int             `json:"revision"` // running
	Result   string          `json:"result"`   // applied, rejected, unchanged
	Source   string          `json:"source"`
	Took     float64         `json:"took_seconds,omitempty"`
	Changes  []string        `json:"changes,omitempty"`
	Forecast *admin.Forecast `json:"forecast,omitempty"`
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

func (s *screen) revisionJSON(r host.Attempt) {
	s.event(revisionView{
		Event: "revision", At: r.At, Revision: r.Number, Result: r.Result, Source: r.Source, Took: time.Duration(r.Took).Seconds(),
		Changes: r.Changes.Lines(), Forecast: r.Forecast, Error: r.Error, Problems: r.Problems, Warnings: r.Warnings,
	})
}

// event writes one line for programs.
func (s *screen) event(v any) { _ = writeJSON(s.out, v, "") } // a broken stdout must not end the host

// remoteLine describes the services of other hosts that the gateway routes to, or returns "" without a gateway.
func (s *screen) remoteLine(h *host.Host) string {
	r := h.Remote()
	if r == nil {
		return ""
	}
	at := s.clusterURLs(r.Etcd)
	switch {
	case r.Err != nil:
		return fmt.Sprintf("routes to the services in etcd at %s, which does not answer yet", at)
	case len(r.Services) == 0:
		return fmt.Sprintf("routes to the services in etcd at %s: none yet", at)
	}
	return fmt.Sprintf("routes to %s (etcd %s)", few(r.Services, 8), at)
}

func (s *screen) clusterURLs(name string) string {
	if d := s.set.Manifest.Discovery; d != nil {
		for i := range d.Etcd {
			if d.Etcd[i].Name == name {
				return strings.Join(d.Etcd[i].Endpoints, ", ")
			}
		}
	}
	return name
}

// tryRemote returns a call to a service of another host, whose methods are unknown here.
func (s *screen) tryRemote(h *host.Host) string {
	r := h.Remote()
	at := h.HTTPURL()
	if r == nil || at == "" {
		return ""
	}
	service := "SERVICE"
	if len(r.Services) > 0 {
		service = r.Services[0]
	}
	return fmt.Sprintf("curl -d '{}' %s/%s/METHOD", at, service)
}

// gatewayManifest is the file name, in problems, of the manifest made from the flags.
const gatewayManifest = "gateway-flags"

package cli

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
)

// screen is what serve shows a person: what runs, what to try, and what became of each edit.
type screen struct {
	*app
	set      *config.Set
	warnings bool // shown here, not only in the log

	mu      sync.Mutex
	started bool
	warned  config.Problems // of the revision in force: what is shown already, once the host has started
}

// ready shows what runs once it does.
func (s *screen) ready(h *host.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	if s.output == outputJSON {
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
	if s.set.StandIn == "" {
		s.showWarnings(s.warned)
		return
	}
	rejected := s.set.Rejected.Errors()
	if s.warnings {
		s.standInText(&admin.StandIn{What: s.set.StandIn, Mend: rejected.Files()})
	}
	s.problems(rejected)
	s.showWarnings(slices.DeleteFunc(slices.Clone(s.warned), func(w config.Problem) bool { return w.Path == "policies.fallback" }))
}

// logged writes to the log what the screen would have shown of the start.
func (s *screen) logged(h *host.Host, log *slog.Logger) {
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
	if s.set.StandIn != "" {
		rejected := s.set.Rejected.Errors()
		var problems []string
		for _, p := range rejected {
			problems = append(problems, p.String())
		}
		log.Warn("problems in the files that the "+s.set.StandIn+" stands in for", "problems", problems)
	}
}

// serving names the services and where they are: in one line when it is one service and one listener.
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

// headed sets off the first word of a line.
func (s *screen) headed(line string) string {
	head, rest, _ := strings.Cut(line, " ")
	return s.paint(bold, head) + " " + rest
}

func serviceLine(v *admin.Service) string {
	const shown = 8
	names := make([]string, len(v.Methods))
	for i := range v.Methods {
		names[i] = v.Methods[i].Name
	}
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%s (%s)", v.Name, strings.Join(names, ", "))
}

// try is a call that works as it stands: of the first method that has one.
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

// editable are the files to edit: those that are wrong when others stand in for them, those with the rules, else the
// manifest.
func (s *screen) editable() string {
	const shown = 3
	var files []string
	tokens := ""
	if t := s.set.Manifest.Auth.Tokens; t != nil {
		tokens = t.File
	}
	for _, f := range s.set.Files[1:] {
		if f.Path != tokens && s.set.StandIn == "" {
			files = append(files, s.beside(f.Path))
		}
	}
	for _, f := range s.set.Rejected.Errors().Files() {
		files = append(files, s.beside(f))
	}
	if len(files) == 0 {
		return s.manifest
	}
	if more := len(files) - shown; more > 0 {
		files = append(files[:shown], fmt.Sprintf("%d more", more))
	}
	return strings.Join(files, ", ")
}

// beside is a path of the manifest's folder as it is from here.
func (a *app) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(a.manifest), path)
}

// revision shows what became of an edit.
func (s *screen) revision(r host.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.warned
	if r.Result == host.ResultApplied {
		s.warned = r.Warnings
	}
	if !s.started {
		return
	}
	if s.output == outputJSON {
		s.revisionJSON(r)
		return
	}
	switch r.Result {
	case host.ResultRejected:
		what := r.Error
		if len(r.Problems) > 0 {
			what = count(len(r.Problems.Errors()), "problem")
		}
		s.line("%s, r%d stays: %s", s.paint(red, "rejected"), r.Number, what)
		s.problems(r.Problems.Errors())
	case host.ResultApplied:
		s.line("%s", s.appliedText(r.Number, r.Took, r.Changes))
		s.showWarnings(newWarnings(known, r.Warnings))
	case host.ResultUnchanged:
		s.line("r%d stays: nothing changed", r.Number)
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
		s.line("%s", s.warningText(w))
	}
}

// newWarnings are those that were not known before, wherever in their files they stand now.
func newWarnings(known, now config.Problems) config.Problems {
	type sameness struct{ file, path, message string }
	old := make(map[sameness]bool, len(known))
	for _, k := range known {
		old[sameness{k.File, k.Path, k.Message}] = true
	}
	var fresh config.Problems
	for _, w := range now {
		if !old[sameness{w.File, w.Path, w.Message}] {
			fresh = append(fresh, w)
		}
	}
	return fresh
}

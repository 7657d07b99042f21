package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
)

// screen is what serve shows a person: what runs, what to try, and what became of each edit.
type screen struct {
	out      io.Writer
	set      *config.Set
	manifest string

	mu      sync.Mutex
	started bool
}

// ready shows what runs once it does.
func (s *screen) ready(h *host.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	listening := s.listening(h)
	for _, svc := range h.Services() {
		fmt.Fprintf(s.out, "%s (%s)   %s\n", svc.Name, methodNames(svc), listening)
	}
	if len(s.set.Manifest.Services) == 0 {
		fmt.Fprintf(s.out, "no services   %s\n", listening)
	}
	if line := try(h); line != "" {
		fmt.Fprintf(s.out, "try    %s\n", line)
	}
	if files := s.policyFiles(); files != "" {
		fmt.Fprintf(s.out, "edit   %s, save, and watch this screen\n", files)
	}
	s.warnings(s.set.Warnings)
	if s.set.StandIn != "" {
		fmt.Fprintf(s.out, "WARNING: the %s stands in for files with %s:\n", s.set.StandIn, count(len(s.set.Rejected.Errors()), "problem"))
		s.problems(s.set.Rejected)
	}
}

func (s *screen) listening(h *host.Host) string {
	text := strings.Join(h.Listening(), ", ")
	if url := h.AdminURL(); url != "" {
		text += "   admin " + url
	}
	return text
}

func methodNames(s admin.Service) string {
	names := make([]string, len(s.Methods))
	for i, m := range s.Methods {
		names[i] = m.Name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// try is a call that works as it stands: the first that a handler's author chose, else the first.
func try(h *host.Host) string {
	first := ""
	for _, svc := range h.Services() {
		for _, m := range svc.Methods {
			switch {
			case m.Example.Chosen && m.Example.Curl != "":
				return m.Example.Curl
			case first == "":
				first = m.Example.Curl
			}
		}
	}
	return first
}

func (s *screen) policyFiles() string {
	var files []string
	for _, f := range s.set.Files[1:] {
		if slices.ContainsFunc(s.set.Rules, func(r config.Rule) bool { return r.Position("").File == f.Path }) {
			files = append(files, filepath.Join(filepath.Dir(s.manifest), f.Path))
		}
	}
	const shown = 3
	if len(files) > shown {
		return fmt.Sprintf("%s (and %d more)", strings.Join(files[:shown], ", "), len(files)-shown)
	}
	return strings.Join(files, ", ")
}

// revision shows what became of an edit.
func (s *screen) revision(r host.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return
	}
	switch r.Result {
	case host.ResultRejected:
		if r.Error != "" {
			fmt.Fprintf(s.out, "rejected, r%d stays: %s\n", r.Number, r.Error)
			return
		}
		errs := r.Problems.Errors()
		fmt.Fprintf(s.out, "rejected, r%d stays: %s\n", r.Number, count(len(errs), "problem"))
		s.problems(errs)
	case host.ResultApplied:
		fmt.Fprintf(s.out, "r%d applied in %s: %s\n", r.Number, r.Took.Round(time.Millisecond), changed(r))
		s.warnings(r.Warnings)
	case host.ResultUnchanged:
		fmt.Fprintf(s.out, "r%d stays: nothing changed\n", r.Number)
	}
}

func changed(r host.Revision) string {
	if len(r.Changes) == 0 {
		return "nothing changed in meaning"
	}
	return r.Changes.String()
}

func (s *screen) problems(problems config.Problems) {
	for _, p := range problems {
		fmt.Fprintln(s.out, "  "+p.String())
	}
}

func (s *screen) warnings(warnings config.Problems) {
	for _, w := range warnings {
		fmt.Fprintln(s.out, "warning: "+w.String())
	}
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

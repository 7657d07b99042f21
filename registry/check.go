package registry

import (
	"fmt"
	"reflect"
	"regexp"
)

// Configured is the configuration of one service of a handler in a manifest.
type Configured struct {
	Service  string // name on the wire
	Aliases  []string
	Methods  []string          // that are served; nil if they are known only once the handler is open
	Metadata map[string]string // published to discovery
	Uses     map[string]string // upstreams by client
}

// Finding is a warning of a check about a service.
type Finding struct {
	Path    string // of the value, below the service: options.ttl, metadata.weight; empty for the service itself
	Message string // what is wrong, with its values, and what to do
}

// checkName is the form of the name of a check.
var checkName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Check adds a check of the manifest, for what tags of the options cannot say. It runs wherever a manifest is checked: in validate, at
// the start and for each edit. Its findings appear among the warnings of the host, with the code HANDLER/name, such as
// acme.orders/short-ttl: validate --strict makes errors of them, and a comment in the manifest may ignore them. O is the struct of the
// handler's options; for handlers without options it is struct{}. The check gets a copy of the options, decoded over the
// defaults, and must return soon, without opening or calling anything. A panic becomes a finding.
//
// Check panics on a mistake in the program: a name that is not made of a-z 0-9 and -, or is taken, or another O than that of the handler.
func Check[O any](name string, check func(s Configured, o O) []Finding) Option {
	return func(r *registration) {
		e := r.entry
		wrong := func(format string, args ...any) {
			panic(fmt.Sprintf("registry: %s %q: check %q: %s", e.Kind(), e.Name, name, fmt.Sprintf(format, args...)))
		}
		want, got := e.Options, reflect.TypeFor[O]()
		if want == nil {
			want = reflect.TypeFor[struct{}]()
		}
		switch {
		case !checkName.MatchString(name):
			wrong("want 1 to 64 characters of a-z 0-9 -")
		case check == nil:
			wrong("has no function")
		case want != got:
			wrong("takes options of type %v, and those of the %s are %v", got, e.Kind(), want)
		}
		for _, known := range e.checks {
			if known.name == name {
				wrong("the name is taken")
			}
		}
		e.checks = append(e.checks, namedCheck{name, func(s Configured, o any) []Finding { return check(s, *optionsOf[O](o)) }})
	}
}

// namedCheck is a check of a handler, for options of any type.
type namedCheck struct {
	name string
	run  func(s Configured, o any) []Finding
}

// findings returns what the check finds; a panic is a finding.
func (c *namedCheck) findings(s Configured, o any) (found []Finding) {
	returned := false
	defer func() {
		if recovered := recover(); !returned {
			found = []Finding{{Message: fmt.Sprintf("the check failed: %v", caught(recovered))}}
		}
	}()
	found = c.run(s, o)
	returned = true
	return found
}

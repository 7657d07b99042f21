package host

import (
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
)

// otherMethods stands for the methods of a service that are not known to be some, as OpenTelemetry has it.
const otherMethods = "_OTHER"

// remoteService is a service of other hosts, with those of its methods that have answered.
type remoteService struct {
	remote     *remote
	name       string
	rpcx, http *telemetry.MethodMetrics // of methods that have not answered

	answered atomic.Pointer[names[*method]]
	learning sync.Mutex // of answered
}

func newRemoteService(r *remote, name string) *remoteService {
	s := &remoteService{remote: r, name: name}
	s.rpcx, s.http, _ = r.link.labels.metricsOf(name, otherMethods)
	none := newNames[*method](0)
	s.answered.Store(&none)
	return s
}

// counts tells whether the metrics of the service are still the ones to count in: it may have been away for so long that
// they were dropped, or there may be room for them now.
func (s *remoteService) counts() bool {
	rpcx, _, _ := s.remote.link.labels.metricsOf(s.name, otherMethods)
	return rpcx == s.rpcx
}

// method is the one of a name. It is made for the call, unless it has answered: then its metrics are its own, and so
// are the spellings of its name that a host takes for the same.
func (s *remoteService) method(name string) *method {
	if m, ok := s.answered.Load().find(name); ok {
		return m
	}
	t := policies.Target{Service: s.name, Method: s.remote.spelling.of(name)}
	return &method{
		name: name, users: &s.remote.link.users, run: (*serving).passOn, target: t, full: t.String(),
		guard: s.remote.rules.Resolve(t), rpcx: s.rpcx, http: s.http, remote: s, operation: telemetry.RemoteOperation(t.String()),
	}
}

// spelled is the name to call the method by: the known one, since servers of other kinds take no other. A name that Go
// cannot export is none that such a server has; one of our hosts, which take any spelling, has answered to it.
func (m *method) spelled(asked string) string {
	if m.rpcx == m.remote.rpcx || !exported(m.name) && exported(asked) {
		return asked // not known, or better known to the caller
	}
	return m.name
}

func exported(name string) bool {
	first, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(first)
}

// learn keeps a method that has answered without an error, as long as there is room for its metrics: a caller must not
// make up names without end.
func (s *remoteService) learn(m *method) {
	s.learning.Lock()
	defer s.learning.Unlock()
	known := s.answered.Load()
	if _, ok := known.find(m.name); ok {
		return
	}
	learned := *m
	learned.name = strings.Clone(m.name) // what a peer sent must not be kept alive by its name
	learned.target.Method = strings.Clone(m.target.Method)
	var ok bool
	if learned.rpcx, learned.http, ok = s.remote.link.labels.metricsOf(s.name, learned.target.Method); !ok {
		return
	}
	next := newNames[*method](len(known.exact) + 1)
	for name, other := range known.exact {
		next.add(name, other)
	}
	next.add(learned.name, &learned)
	s.answered.Store(&next)
}

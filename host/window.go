package host

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// longestWindow bounds how long an edit is observed, and the age of the baseline of a chain, in multiples of autoRollback.window.
const longestWindow = 10

// window compares, for some time after an edit, the outcome of calls with the decisions of the baseline: the last generation whose
// own window ended well.
type window struct {
	baseline, next *generation
	settings       *config.AutoRollback
	rules          *policies.Baseline // nil: none differs
	failures       *failures          // nil: no method is affected
	turnedAway     bool               // callers are identified, or methods are found, in another way
	undo           bool               // evidence undoes the edit
	edits          edits              // at least one
	operated       map[string]bool    // rules that differ because of overrides alone
	hash           string             // of the edited files; empty if it was no edit of the files
	inPlace        bool               // the edit was put in force in place of the files
	opened         time.Time
	since          time.Time // when calls out began to use what is new; used by judge only
	replacing      bool      // they do not yet; used by judge only
	chain          chain
	enough         atomic.Bool // there were enough calls to judge by

	byMethod map[string]*tally // of the methods of this host before and after, by Service/Method
	found    sync.Map          // string to *tally, of the methods of other hosts
	founds   atomic.Int32      // entries of found
	others   tally             // of all other methods
	intended atomic.Uint64     // refused calls that do not count
	judged   int               // how often; used by judge only

	broken atomic.Pointer[policies.Broken] // the first rule of the edit that panicked

	mu    sync.Mutex
	blame map[cause]balance
}

// balance counts calls that are newly refused, and calls that pass instead, which the same limit refused before.
type balance struct{ refused, instead uint64 }

func (b balance) net() uint64 { return b.refused - min(b.refused, b.instead) }

// tally counts the calls of a method that the baseline lets through.
type tally struct {
	method  string
	through atomic.Uint64
}

// cause is what refuses calls that the baseline lets through.
type cause struct {
	method string
	rule   string // empty: no rule
	kind   config.Kind
	reason string
}

// openWindow returns the window for a new generation; nil if nothing has changed that could refuse calls. Call it before the
// generation comes into force.
func openWindow(
	baseline, next *generation, changes config.Changes, before *window, settings *config.AutoRollback, m *telemetry.Metrics,
) (*window, error) {
	var rules *policies.Baseline
	var earlier *failures
	if before != nil {
		rules, earlier = before.rules, before.failures
	}
	sameCallers := baseline.identity.same(&next.identity)
	was, is := &baseline.set.Manifest.Gateway, &next.set.Manifest.Gateway
	narrowed := baseline.routes.Narrowed(&next.routes) || !reflect.DeepEqual(was.Routes, is.Routes) || !slices.Equal(was.Get, is.Get)
	w := &window{
		baseline: baseline, next: next, settings: settings, turnedAway: !sameCallers || narrowed, undo: true,
		opened: time.Now(), replacing: !next.out.InUse(), byMethod: make(map[string]*tally), blame: make(map[cause]balance),
	}
	w.chain.began, w.since = w.opened, w.opened
	edit := changes
	var edited map[string]bool // nil: all that changes
	if !slices.Equal(baseline.overrides, next.overrides) {
		w.operated, edited = changes.Subjects(), config.Diff(baseline.set.Plain(), next.set.Plain()).Subjects()
		for subject := range edited {
			delete(w.operated, subject)
		}
		edit = slices.DeleteFunc(slices.Clone(changes), func(c config.Change) bool { return w.operated[c.Subject] })
	}
	var err error
	if w.rules, err = policies.NewBaseline(baseline.policies, next.policies, changes, rules, !sameCallers, narrowed); err != nil {
		return nil, err
	}
	w.failures = newFailures(w, edit, edited, earlier, m)
	if w.rules == nil && w.failures == nil && !next.policies.Alters(baseline.policies) {
		return nil, nil //nolint:nilnil // there is nothing to observe
	}
	for _, t := range slices.Concat(baseline.routes.Targets(), next.routes.Targets()) {
		w.byMethod[t.String()] = &tally{method: t.String()}
	}
	for i := range next.set.Manifest.Upstreams {
		name := outward + next.set.Manifest.Upstreams[i].Name
		w.byMethod[name] = &tally{method: name}
	}
	w.others.method = "other hosts"
	return w, nil
}

// tallyOf returns the tally of a method. Methods of other hosts beyond a bound share one, since callers may invent names.
func (w *window) tallyOf(method string) *tally {
	if t := w.byMethod[method]; t != nil {
		return t
	}
	if t, ok := w.found.Load(method); ok {
		return t.(*tally) //nolint:forcetypeassert // found has nothing else
	}
	if w.founds.Load() >= maxTallies {
		return &w.others
	}
	name := strings.Clone(method) // it must not keep the message of a peer alive
	t, known := w.found.LoadOrStore(name, &tally{method: name})
	if !known {
		w.founds.Add(1)
	}
	return t.(*tally) //nolint:forcetypeassert // found has nothing else
}

// maxTallies bounds the methods of other hosts that are counted by themselves.
const maxTallies = 1000

// count adds calls to the balance of a cause.
func (w *window) count(c cause, n balance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.blame[c]
	w.blame[c] = balance{was.refused + n.refused, was.instead + n.instead}
}

// refused returns how many calls are newly refused, by method.
func (w *window) refused() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := make(map[string]uint64)
	for c, n := range w.blame {
		by[c.method] += n.net()
	}
	return by
}

// ruleBroke notes that a rule of the edit panics, unless the baseline's does too or it is never a reason to roll back.
func (w *window) ruleBroke(b *policies.Broken) {
	if r := w.next.set.Rule(b.Rule); r != nil && r.AutoRollback != config.RollbackOff && !w.baseline.policies.IsBroken(b.Rule, b.Kind) {
		w.broken.CompareAndSwap(nil, b)
	}
}

// stopped compares a call, or with an upstream a call to that, which a rule of this host has refused or ended.
func (w *window) stopped(upstream string, t policies.Target, e *code.Error) {
	if w != nil {
		w.failures.stop(w.next.set, upstream, t, e)
	}
}

// lost compares a call to a method that is not served: over HTTP only if it may be served later, since missed handles the others.
func (w *window) lost(call *wire.Call, req *wire.Frame, reason string) {
	if w.turnedAway && (call.Transport() != wire.TransportHTTP || reason == code.ReasonNoEndpoint) {
		w.gone(call, req.Service, req.Method, as{call.Certificate(), req.Metadata, call.Peer()})
	}
}

// missed compares an HTTP request that leads to no method.
func (w *window) missed(r *http.Request) {
	if !w.turnedAway {
		return
	}
	for _, gw := range w.baseline.gateways { // they differ in limits only
		if service, method, ok := gw.Leads(r); ok {
			var md wire.Metadata
			if auth := r.Header.Get("Authorization"); auth != "" {
				md.Set(wire.MetaAuth, auth)
			}
			w.gone(r.Context(), service, method, as{gateway.PeerCertificate(r), md, netip.Addr{}})
		}
		return
	}
}

// as identifies a caller of a method that is no longer served.
type as struct {
	proof    *x509.Certificate
	metadata wire.Metadata
	peer     netip.Addr
}

// gone asks the baseline about a call to a method that is not served any more.
func (w *window) gone(ctx context.Context, service, method string, who as) {
	m, ok := w.baseline.routes.Lookup(service, method)
	if !ok || m.IsRemote() && !m.Known() { // callers may invent names of other hosts' methods
		return
	}
	caller, claims, err := w.baseline.identity.caller(ctx, who.proof, who.peer, who.metadata)
	if err != nil {
		return
	}
	var ticket policies.Ticket
	call := policies.Call{Caller: caller, Claims: claims, Peer: who.peer, Metadata: &who.metadata}
	if w.rules.Guard(m.Target).Enter(ctx, &call, &ticket) != nil {
		return
	}
	ticket.Cancel()
	t := w.tallyOf(m.FullName())
	t.through.Add(1)
	w.count(cause{method: t.method, reason: code.ReasonUnknownMethod}, balance{refused: 1})
}

// outward marks the name of an upstream among the names of methods.
const outward = "to "

// compareOut asks the baseline about a call to an upstream; nil: there is nothing to ask.
func (w *window) compareOut(ctx context.Context, call client.OutgoingCall) *comparison {
	if w == nil || w.rules == nil {
		return nil
	}
	c := comparisons.Get().(*comparison)
	c.window, c.tally = w, w.tallyOf(outward+call.Upstream())
	c.target = policies.Target{Service: call.Service(), Method: call.Method()}
	c.call = policies.Call{Caller: call.Caller(), Metadata: call}
	if at, ok := ctx.Deadline(); ok {
		c.call.Deadline = at
	}
	c.ask(ctx, w.rules.ClientGuard(call.Upstream(), call.Service(), call.Method()))
	return c
}

// verdict is what a window says about its edit.
type verdict struct {
	over bool
	bad  string // the evidence against the edit; empty: none
	cause
	text string
}

// failuresEvery is how often judge is called until it judges the failures, too: these read the counters of all methods.
const failuresEvery = 5

// judge returns the verdict so far.
func (w *window) judge(now time.Time) verdict {
	var through, refused uint64
	minimum := uint64(w.settings.MinRequests)
	var worst *tally
	newly := w.refused()
	for _, t := range w.tallies() {
		r, p := newly[t.method], t.through.Load()
		if !strings.HasPrefix(t.method, outward) {
			through, refused = through+p, refused+r
		}
		if p >= minimum && w.exceeds(r, p) && (worst == nil || r > newly[worst.method]) {
			worst = t
		}
	}
	if b := w.broken.Load(); b != nil {
		bad := fmt.Sprintf("%s is broken (%s)", b.Rule, w.next.set.Rule(b.Rule).Position(""))
		return verdict{over: true, bad: bad, cause: cause{rule: b.Rule, kind: b.Kind}, text: bad}
	}
	switch { // before the failures, which name no rule
	case through >= minimum && w.exceeds(refused, through):
		return w.evidence("", refused, through)
	case worst != nil:
		return w.evidence(worst.method, newly[worst.method], worst.through.Load())
	}
	w.await(now)
	w.judged++
	if w.judged%failuresEvery == 0 && !w.replacing {
		if bad := w.failures.judge(); bad != "" {
			return verdict{over: true, bad: bad, text: bad}
		}
	}
	calls, open := through, w.settings.Window.Std()
	if w.rules == nil {
		calls = w.failures.calls()
	}
	if w.rules == nil && w.failures == nil {
		calls = minimum // only a broken rule is evidence
	}
	w.enough.Store(calls >= minimum)
	switch {
	case w.replacing, now.Sub(w.since) < open:
		return verdict{}
	case calls >= minimum:
		return verdict{over: true, text: admin.VerdictKept}
	case now.Sub(w.since) < longestWindow*open:
		return verdict{}
	}
	return verdict{over: true, text: fmt.Sprintf("no evidence (%s of %s calls)", admin.Thousands(calls), admin.Thousands(minimum))}
}

// await counts the failures anew once calls out use the new clients: those before say nothing about the edit.
func (w *window) await(now time.Time) {
	if w.replacing && w.next.out.InUse() {
		w.replacing, w.since = false, now
		w.failures.restart()
	}
}

func (w *window) exceeds(refused, through uint64) bool {
	return refused > 0 && float64(refused) > float64(w.settings.MaxNewRefusals)*float64(through)
}

func (w *window) tallies() []*tally {
	list := append(slices.Collect(maps.Values(w.byMethod)), &w.others)
	w.found.Range(func(_, t any) bool {
		list = append(list, t.(*tally)) //nolint:forcetypeassert // found has nothing else
		return true
	})
	return list
}

// evidence returns the verdict that a share of the calls, of one method or in total, is newly refused.
func (w *window) evidence(method string, refused, through uint64) verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	var by cause
	most := uint64(0)
	for c, n := range w.blame {
		if n := n.net(); (method == "" || c.method == method) && (n > most || n == most && c.rule < by.rule) {
			by, most = c, n
		}
	}
	who, did := by.rule, "refused"
	switch {
	case by.kind == config.KindTimeout:
		did = "timed out"
	case by.reason == code.ReasonUnauthenticated:
		who, did = "auth", "turned away"
	case by.reason == code.ReasonUnknownMethod:
		who, did = "services and routes", "turned away"
	}
	what := fmt.Sprintf("%s %s %d %% of %s calls", who, did, (refused*100+through/2)/through, admin.Thousands(through))
	if to, ok := strings.CutPrefix(method, outward); ok {
		what += " to " + to
	} else if method != "" {
		what += " of " + strings.Replace(method, "/", ".", 1)
	}
	what += fmt.Sprintf(" that r%d let through", w.baseline.revision)
	return verdict{over: true, bad: what, cause: by, text: what}
}

// observed returns the edit as it is shown; nil: none is observed.
func (w *window) observed() *admin.Observed {
	if w == nil {
		return nil
	}
	o := &admin.Observed{
		Revision: w.next.revision, Baseline: w.baseline.revision, Since: w.opened, Until: w.opened.Add(w.settings.Window.Std()),
		Intended: w.intended.Load(), MinRequests: w.settings.MinRequests, Forced: !w.undo,
	}
	for _, n := range w.refused() {
		o.NewlyRefused += n
	}
	for _, t := range w.tallies() {
		o.Calls += t.through.Load()
	}
	return o
}

// wayOut returns how to keep the edit.
func (w *window) wayOut(by cause) string {
	off, force := "", "easymicro reload --force"
	if by.rule != "" {
		off = fmt.Sprintf("autoRollback: off in %s (%s)", by.rule, w.next.set.Rule(by.rule).Position(""))
	}
	switch {
	case w.inPlace: // reload --force would apply the files
		return cmp.Or(off, "policies.autoRollback: off in the manifest")
	case off == "":
		return force
	}
	return off + ", or " + force
}

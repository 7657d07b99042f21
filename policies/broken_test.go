package policies_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// faulty has the rule named breaks panic at a moment, and keeps what was reported.
type faulty struct {
	at     limit.Moment
	kind   config.Kind
	off    bool
	broken []policies.Broken
}

func (f *faulty) options() policies.Options {
	return policies.Options{
		Revision: 7, Host: "h", OnBroken: func(b policies.Broken) { f.broken = append(f.broken, b) },
		Fault: func(rule string, kind config.Kind, at limit.Moment) {
			if rule == "breaks" && kind == f.kind && at == f.at && !f.off {
				panic("the sky falls")
			}
		},
	}
}

// wants checks what was reported.
func (f *faulty) wants(t *testing.T, s *policies.Snapshot, broken bool) {
	t.Helper()
	status, told := s.Rules()[0].Status, 0
	if broken {
		told = 1
	}
	if len(f.broken) != told || (status == policies.StatusBroken) != broken {
		t.Fatalf("status %s, reported: %+v", status, f.broken)
	}
	if broken && (f.broken[0].Rule != "breaks" || f.broken[0].Kind != f.kind || f.broken[0].Panic != "the sky falls" ||
		!strings.Contains(f.broken[0].Stack, "broken_test.go")) {
		t.Errorf("reported: %+v", f.broken[0])
	}
}

var settingsOfKinds = map[config.Kind]func(*config.Rule){
	config.KindAccess:           access([]config.AccessEntry{{Caller: config.Patterns{"web"}}}, nil),
	config.KindPriority:         priority(config.PriorityHigh),
	config.KindShed:             shed(1),
	config.KindRateLimit:        rate(1000, 1000),
	config.KindCircuitBreaker:   circuit(config.CircuitBreaker{ConsecutiveFailures: 100}),
	config.KindConcurrency:      concurrency(10, 0, 0),
	config.KindTimeout:          timeout(time.Minute),
	config.KindRetry:            retry(config.Retry{MaxAttempts: 2}),
	config.KindHedge:            hedge(time.Minute, "*"),
	config.KindOutlierDetection: outlying(config.OutlierDetection{}),
}

// form is a mode of a rule, as the calls of a test see it.
type form struct {
	name     string
	set      func(*config.Rule)
	enforced bool
}

// forms are the modes, and enforceShare with and without the caller web: its place is config.ShareOf("breaks", "web"), 0.9906.
var forms = []form{
	{"enforce", mode(config.Enforce), true},
	{"shadow", mode(config.Shadow), false},
	{"share", enforceShare(0.999), true},
	{"other share", enforceShare(0.99), false},
}

// eachFault runs a test for each kind, in each form, that panics at each moment.
func eachFault(t *testing.T, kinds []config.Kind, test func(t *testing.T, kind config.Kind, as form, at limit.Moment)) {
	for _, kind := range kinds {
		if settingsOfKinds[kind] == nil {
			t.Fatalf("settingsOfKinds lacks %s", kind)
		}
		for _, as := range forms {
			for _, at := range []limit.Moment{limit.AtCompile, limit.AtTaste, limit.AtMatch, limit.AtAsk, limit.AtDone} {
				t.Run(fmt.Sprintf("%s %s %s", kind, as.name, at), func(t *testing.T) { test(t, kind, as, at) })
			}
		}
	}
}

// rejected checks the rejection of a set with a rule that panics while it is made ready.
func rejected(t *testing.T, rules []config.Rule, f *faulty) {
	t.Helper()
	err := policies.Taste(completed(rules), func(string) bool { return true }, f.options())
	if f.at == limit.AtCompile {
		_, err = compile(rules, targets, nil, f.options())
	}
	var internal *config.InternalError
	if !errors.As(err, &internal) || internal.Where != "in rule breaks" || internal.Value != "the sky falls" {
		t.Errorf("error %v", err)
	}
}

func TestARuleThatPanicsIsNotAskedAgain(t *testing.T) {
	eachFault(t, config.ServerKinds(), func(t *testing.T, kind config.Kind, as form, at limit.Moment) {
		f := &faulty{at: at, kind: kind}
		rules := []config.Rule{
			newRuleOn("breaks", "Arith", settingsOfKinds[kind], as.set),
			newRuleOn("stays", "*", rate(0.001, 100), concurrency(5, 0, 0), circuit(config.CircuitBreaker{ConsecutiveFailures: 100})),
		}
		if at == limit.AtCompile || at == limit.AtTaste {
			rejected(t, rules, f)
			return
		}
		before, err := compile(rules, targets, nil, policies.Options{})
		succeeds(t, err)
		s, err := compile(rules, targets, before, f.options())
		succeeds(t, err)
		closed := kind == config.KindAccess && as.enforced && at != limit.AtDone
		passed := 0
		for range 3 {
			for _, guard := range []*policies.Guard{s.Guard(mul), before.Guard(mul), s.Guard(export)} {
				var ticket policies.Ticket
				err := guard.Enter(t.Context(), &policies.Call{Caller: "web"}, &ticket)
				if closed && guard == s.Guard(mul) {
					if e := refusal(t, err); e.Code != code.Unavailable || e.Reason != code.ReasonRuleBroken || e.Rule != "breaks@r7" {
						t.Errorf("refused by %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				passed++
				ticket.Done(code.Errorf(code.Unavailable, "failed"))
			}
		}
		f.wants(t, s, at != limit.AtDone || kind != config.KindAccess && kind != config.KindPriority && kind != config.KindShed && kind != config.KindRateLimit)
		if n := tokensLeft(s, "stays"); n != 100-passed {
			t.Errorf("%d tokens left after %d calls", n, passed)
		}
		if n, _ := inFlight(s, "stays"); n != 0 {
			t.Errorf("%d in flight", n)
		}
		f.off = true
		next, err := compile(rules, targets, s, policies.Options{})
		succeeds(t, err)
		var ticket policies.Ticket
		if err := next.Guard(mul).Enter(t.Context(), &policies.Call{Caller: "web"}, &ticket); err != nil || next.Rules()[0].Status == policies.StatusBroken {
			t.Errorf("after an edit: %v, %s", err, next.Rules()[0].Status)
		}
		ticket.Done(nil)
	})
}

func TestAClientSideRuleThatPanicsIsNotAskedAgain(t *testing.T) {
	eachFault(t, config.ClientKinds(), func(t *testing.T, kind config.Kind, as form, at limit.Moment) {
		f := &faulty{at: at, kind: kind}
		rules := []config.Rule{
			toBilling("breaks", settingsOfKinds[kind], as.set),
			toBilling("stays", rate(0.001, 100), concurrency(5, 0, 0), method("*")),
		}
		if at == limit.AtCompile || at == limit.AtTaste {
			rejected(t, rules, f)
			return
		}
		s, err := compile(rules, nil, nil, f.options())
		succeeds(t, err)
		s.Activate()
		failure := code.Errorf(code.Unavailable, "failed")
		sent := 0
		for i := range 4 {
			outcome := error(failure)
			if i%2 == 1 {
				outcome = nil
			}
			call := &outCall{
				upstream: "billing", service: "Billing", method: "Get", idempotent: true,
				attempt: func(_ context.Context, _ int, endpoints client.EndpointFilter) error {
					sent++
					if endpoints != nil && endpoints.Admit("a:1") {
						endpoints.Settle("a:1", outcome)
					}
					return outcome
				},
			}
			if _, _, err := s.ClientRules().DoWithin(t.Context(), call, time.Time{}); !errors.Is(err, outcome) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if sent < 4 {
			t.Errorf("sent %d calls", sent)
		}
		f.wants(t, s, at != limit.AtDone || kind != config.KindPriority && kind != config.KindRateLimit)
		if n, _ := inFlight(s, "stays"); n != 0 {
			t.Errorf("%d in flight", n)
		}
		if n := tokensLeft(s, "stays"); n != 96 {
			t.Errorf("%d tokens left", n)
		}
	})
}

// The end of a late call, and of one that was not made after all, is contained as well.
func TestARuleThatPanicsWhenACallEndsIsNotAskedAgain(t *testing.T) {
	ends := map[string]func(*policies.Ticket){
		"late": func(ticket *policies.Ticket) {
			if e := ticket.Late(); e.Code != code.DeadlineExceeded {
				t.Errorf("late: %v", e)
			}
			ticket.Done(nil)
		},
		"returned": func(ticket *policies.Ticket) { ticket.Done(nil); _ = ticket.Late() },
		"canceled": func(ticket *policies.Ticket) { ticket.Cancel() },
	}
	for name, end := range ends {
		for kind, never := range map[config.Kind]string{
			config.KindTimeout: "canceled", config.KindCircuitBreaker: "", config.KindConcurrency: "", config.KindRateLimit: "late returned",
		} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				f := &faulty{at: limit.AtDone, kind: kind}
				s, err := compile([]config.Rule{newRuleOn("breaks", "Arith", timeout(time.Minute), rate(0.001, 10), concurrency(5, 0, 0),
					circuit(config.CircuitBreaker{ConsecutiveFailures: 100, SlowCallDuration: config.Duration(time.Hour), SlowCallRate: 0.5}))}, targets, nil, f.options())
				succeeds(t, err)
				for range 2 {
					var ticket policies.Ticket
					succeeds(t, s.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket))
					end(&ticket)
				}
				f.wants(t, s, !strings.Contains(never, name))
				f.off = true
				var ticket policies.Ticket
				succeeds(t, s.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket))
				ticket.Done(nil)
			})
		}
	}
}

// A panic that no rule has caused is for the caller.
func TestThePanicOfTheTransportIsNotContained(t *testing.T) {
	s, err := compile([]config.Rule{toBilling("calls", timeout(time.Minute), rate(10, 10), concurrency(5, 0, 0), retry(config.Retry{}))}, nil, nil, policies.Options{})
	succeeds(t, err)
	call := &outCall{
		upstream: "billing", service: "Billing", method: "Get",
		attempt: func(context.Context, int, client.EndpointFilter) error { panic("transport") },
	}
	func() {
		defer func() {
			if p := recover(); p != "transport" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _, _ = s.ClientRules().DoWithin(t.Context(), call, time.Time{})
	}()
	if list := s.Broken(); list != nil {
		t.Errorf("broken: %+v", list)
	}
	if n, _ := inFlight(s, "calls"); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// A rule whose conditions panic refuses all calls for which it cannot be told, one whose list panics those that it matches.
func TestABrokenAccessRuleRefusesWhatItMatches(t *testing.T) {
	f := &faulty{at: limit.AtAsk, kind: config.KindAccess}
	s, err := compile([]config.Rule{newRuleOn("breaks", "Arith", settingsOfKinds[config.KindAccess], caller("w*"))}, targets, nil, f.options())
	succeeds(t, err)
	for _, tt := range []struct{ caller, reason string }{{"web", code.ReasonRuleBroken}, {"other", ""}, {"wap", code.ReasonRuleBroken}} {
		var ticket policies.Ticket
		if got := reasonOf(s.Guard(mul).Enter(t.Context(), &policies.Call{Caller: tt.caller}, &ticket)); got != tt.reason {
			t.Errorf("%s: %q", tt.caller, got)
		}
	}
}

func TestTheStatusOfARule(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	rules := []config.Rule{
		newRuleOn("all", "*", timeout(time.Minute)),
		newRuleOn("slow-mul", "Arith", method("Mul"), timeout(time.Second)),
		newRuleOn("web", "Arith", caller("web"), timeout(2*time.Second)),
		newRuleOn("share", "Arith", rate(1, 1), enforceShare(0.1)),
		newRuleOn("tried", "Arith", rate(1, 1), mode(config.Shadow)),
		newRuleOn("none", "Nowhere", rate(1, 1)),
		newRuleOn("off", "Arith", rate(1, 1), mode(config.Off)),
		newRuleOn("gone", "Arith", rate(1, 1), expires(time.Now().Add(-time.Hour))),
		newRuleOn("soon", "Arith", rate(1, 1), expires(hour)),
		newRuleOn("both", "Orders", rate(1, 1), timeout(3*time.Second)),
		toBilling("calls", timeout(time.Second)),
		toBilling("gets", timeout(time.Second), method("Get")),
		newRuleOn("elsewhere", "*", timeout(time.Second), to("shipping")),
	}
	s, err := compile(rules, targets, nil, policies.Options{Upstreams: []string{"billing"}})
	succeeds(t, err)
	var got []string
	for _, r := range s.Rules() {
		text := r.Name + ": " + r.Status
		if r.Detail != "" {
			text += " (" + r.Detail + ")"
		}
		got = append(got, text)
	}
	want := `all: partly (overridden by web for Arith.Div, Arith.Mul; overridden by slow-mul for Arith.Mul; overridden by both for Orders.Export)
slow-mul: enforced
web: partly (overridden by slow-mul for Arith.Mul)
share: partly (for 10 % of the callers)
tried: shadow
none: matches nothing
off: off
gone: expired
soon: enforced
both: enforced
calls: partly (overridden by gets for upstream billing)
gets: enforced
elsewhere: matches nothing`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	for _, k := range s.Explain(div, "", (policies.Call{}).Peer).Kinds {
		for _, a := range k.Applies {
			if a.Rule == "all" && a.Status != policies.StatusPartly {
				t.Errorf("explain: %s %s", a.Rule, a.Status)
			}
		}
	}
}

func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

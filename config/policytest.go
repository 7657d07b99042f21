package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// PolicyTest is the content of a file of policy tests: calls on a virtual clock, and what the rules of a manifest make of them.
type PolicyTest struct {
	Manifest string     `yaml:"manifest" default:"easymicro.yaml" doc:"Manifest whose rules are tested, relative to this file. Its policy files come with it."`
	Against  string     `yaml:"against" doc:"Older manifest that nobody_new compares with, relative to this file. --against overrides it."`
	Cases    []TestCase `yaml:"cases" required:"true" doc:"The cases. Each begins like a host that has just started: with full buckets and closed breakers."`

	at positions
}

// TestCase is one case of a file of policy tests.
type TestCase struct {
	Name   string          `yaml:"name" required:"true" doc:"What the case proves. Unique in the file."`
	Assume string          `yaml:"assume" enum:"enforce" doc:"enforce: rules in shadow are enforced in this case."`
	At     time.Time       `yaml:"at" doc:"Time at which the case begins, for rules that expire, from 2000 to 2199. Default: now."`
	Calls  TestSteps       `yaml:"calls" required:"true" doc:"The calls. Several steps form a list; a step begins once the calls of the steps before it are answered."`
	Expect TestExpectation `yaml:"expect" doc:"The outcome of all calls of the case together."`
}

// TestClockEnds is the year in which the virtual clock of policy tests ends. It begins in 2000, and counts nanoseconds up to 2262.
const TestClockEnds = 2200

// TestSteps are steps of a case. One alone may be written without a list.
type TestSteps []TestStep

// TestStep is a number of calls of the same kind. They begin at even intervals.
type TestStep struct {
	To          string            `yaml:"to" required:"true" doc:"Service.Method of this host, or UPSTREAM.Method for calls of this host to an upstream."`
	Caller      string            `yaml:"caller" pattern:"caller" doc:"The verified caller. Default: anonymous."`
	Identity    map[string]string `yaml:"identity" pattern:"claim" doc:"Claims of the caller's signed token, by the names in auth.jwt.claims: tenant: acme."`
	Peer        string            `yaml:"peer" pattern:"ip" doc:"Address that the calls come from."`
	Metadata    map[string]string `yaml:"metadata" doc:"Metadata of each call."`
	Deadline    Duration          `yaml:"deadline" min:"0" max:"24h" doc:"The caller's own deadline, from the start of each call. Default: none."`
	CPU         Share             `yaml:"cpu" default:"0" min:"0" max:"1" doc:"CPU utilization during the calls, for rules with shed."`
	After       Duration          `yaml:"after" min:"0" max:"8760h" doc:"Pause before the step."`
	Together    bool              `yaml:"together" default:"false" doc:"The step begins together with the step before it."`
	Count       int               `yaml:"count" default:"1" min:"1" max:"100000" doc:"Number of calls."`
	Over        Duration          `yaml:"over" min:"0" max:"8760h" doc:"Time over which the calls begin, the first one at once. Default: all begin at once."`
	Concurrency *int              `yaml:"concurrency" min:"1" max:"100000" doc:"Number of calls in flight at which the caller waits before the next one. Default: no bound."`
	Handler     TestScripts       `yaml:"handler" doc:"What the handler does with the calls that reach it. Of a list, the first entry that applies to a call counts. Default: it succeeds at once."`
	Expect      *TestOutcome      `yaml:"expect" doc:"The outcome of the calls of this step."`
}

// TestScripts say what a handler does. One alone may be written without a list.
type TestScripts []TestScript

// TestScript says what a handler does with some of the calls that reach it. For an upstream, each attempt is such a call.
type TestScript struct {
	Error    string   `yaml:"error" pattern:"code" doc:"Code of the error. Default: the call succeeds."`
	Reason   string   `yaml:"reason" doc:"Reason of the error, such as overloaded."`
	Delay    Duration `yaml:"delay" min:"0" max:"24h" doc:"How long the call takes. It ends earlier when its context does."`
	RunsOn   bool     `yaml:"runsOn" default:"false" doc:"The handler ignores the end of its context."`
	First    *int     `yaml:"first" min:"1" doc:"Only the first calls of the step, so many."`
	Every    *int     `yaml:"every" min:"1" doc:"Only each nth call of the step: 3 is the third, the sixth and so on."`
	Share    *Share   `yaml:"share" min:"0" max:"1" doc:"Only this share of the calls of the step, evenly spread."`
	Endpoint string   `yaml:"endpoint" doc:"Only calls to this endpoint of an upstream."`
}

// TestOutcome is the expected outcome of some calls. Fields that are absent expect nothing. If a code is listed, calls must not
// end with any other.
type TestOutcome struct {
	TestCodes
	By      Patterns       `yaml:"by" pattern:"name" doc:"Rules that refuse calls, each at least one, and no other rule does."`
	Refused map[string]int `yaml:"refused" min:"0" doc:"Number of calls that each of these rules refuses. 0: the rule refuses none."`
	Shadow  map[string]int `yaml:"shadow" min:"0" doc:"Number of calls that each of these rules in shadow would refuse."`
}

// expects reports whether o names any outcome.
func (o *TestOutcome) expects() bool {
	return o.Codes() != nil || len(o.By)+len(o.Refused)+len(o.Shadow) > 0
}

// TestExpectation is the expected outcome of a case.
type TestExpectation struct {
	TestOutcome
	NobodyNew bool `yaml:"nobody_new" default:"false" doc:"The rules refuse no call that the older set lets through."`
}

// TestCodes are the expected numbers of calls by their code; nil is none expected.
type TestCodes struct {
	OK                 *int `yaml:"OK" min:"0" doc:"Number of calls that succeed."`
	Cancelled          *int `yaml:"CANCELLED" min:"0" doc:"Number of calls that end so."`
	Unknown            *int `yaml:"UNKNOWN" min:"0" doc:"Number of calls that end so."`
	InvalidArgument    *int `yaml:"INVALID_ARGUMENT" min:"0" doc:"Number of calls that end so."`
	DeadlineExceeded   *int `yaml:"DEADLINE_EXCEEDED" min:"0" doc:"Number of calls that end so."`
	NotFound           *int `yaml:"NOT_FOUND" min:"0" doc:"Number of calls that end so."`
	AlreadyExists      *int `yaml:"ALREADY_EXISTS" min:"0" doc:"Number of calls that end so."`
	PermissionDenied   *int `yaml:"PERMISSION_DENIED" min:"0" doc:"Number of calls that end so."`
	ResourceExhausted  *int `yaml:"RESOURCE_EXHAUSTED" min:"0" doc:"Number of calls that end so."`
	FailedPrecondition *int `yaml:"FAILED_PRECONDITION" min:"0" doc:"Number of calls that end so."`
	Aborted            *int `yaml:"ABORTED" min:"0" doc:"Number of calls that end so."`
	OutOfRange         *int `yaml:"OUT_OF_RANGE" min:"0" doc:"Number of calls that end so."`
	Unimplemented      *int `yaml:"UNIMPLEMENTED" min:"0" doc:"Number of calls that end so."`
	Internal           *int `yaml:"INTERNAL" min:"0" doc:"Number of calls that end so."`
	Unavailable        *int `yaml:"UNAVAILABLE" min:"0" doc:"Number of calls that end so."`
	DataLoss           *int `yaml:"DATA_LOSS" min:"0" doc:"Number of calls that end so."`
	Unauthenticated    *int `yaml:"UNAUTHENTICATED" min:"0" doc:"Number of calls that end so."`
}

// Codes returns the expected number of calls by the name of their code; nil if none is expected.
func (c *TestCodes) Codes() map[string]int {
	var codes map[string]int
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		n, ok := v.Field(i).Interface().(*int)
		if !ok || n == nil {
			continue
		}
		if codes == nil {
			codes = make(map[string]int)
		}
		codes[v.Type().Field(i).Tag.Get("yaml")] = *n
	}
	return codes
}

// DecodePolicyTest decodes a file of policy tests.
func DecodePolicyTest(file string, data []byte, env func(string) (string, bool)) (*PolicyTest, Problems) {
	t := new(PolicyTest)
	d := newDecoder(file, env)
	d.file(data, reflect.ValueOf(t).Elem(), fileKind{empty: "empty: a file of policy tests lists its cases", other: notPolicyTest})
	t.at = d.finish()
	return t, d.problems.With(t.check()).Sort()
}

// Position returns where the value at path (cases[0].expect.OK) is, or else its nearest known parent.
func (t *PolicyTest) Position(path string) Position { return t.at.position(path) }

// StepPath returns the path of a step.
func (t *PolicyTest) StepPath(number, step int) string {
	return t.entry(fmt.Sprintf("cases[%d].calls", number), step)
}

// ScriptPath returns the path of a script of a step.
func (t *PolicyTest) ScriptPath(step string, script int) string {
	return t.entry(step+".handler", script)
}

// entry returns the path of an entry of a list: the path of the list if its only entry is written without a list.
func (t *PolicyTest) entry(list string, i int) string {
	if listed := fmt.Sprintf("%s[%d]", list, i); t.at.written(listed) {
		return listed
	}
	return list
}

// check returns the problems that no field shows alone.
func (t *PolicyTest) check() (problems Problems) {
	add := func(path, message string, args ...any) {
		problems = append(problems, t.Position(path).Problem(path, fmt.Sprintf(message, args...)).Coded(lint.BadTest))
	}
	var seen names
	if t.at.written("cases") && len(t.Cases) == 0 {
		add("cases", "is an empty list: nothing would be tested")
	}
	for i := range t.Cases {
		c, path := &t.Cases[i], fmt.Sprintf("cases[%d]", i)
		if first, taken := seen.taken(c.Name, t.Position(path+".name")); taken && c.Name != "" {
			add(path+".name", "%q is taken by the case in line %d", clip(c.Name), first.Line)
		}
		if t.at.written(path+".name") && strings.TrimSpace(c.Name) == "" {
			add(path+".name", "is empty: say what the case proves")
		}
		if year := c.At.Year(); t.at.written(path+".at") && (year < 2000 || year >= TestClockEnds) {
			add(path+".at", "must be in a year from 2000 to %d, not %d", TestClockEnds-1, year)
		}
		expects := c.Expect.NobodyNew || c.Expect.expects()
		if t.at.written(path+".calls") && len(c.Calls) == 0 {
			add(path+".calls", "is an empty list: nothing would be tested")
		}
		for j := range c.Calls {
			step := t.StepPath(i, j)
			expects = expects || c.Calls[j].Expect != nil && c.Calls[j].Expect.expects()
			if j == 0 && c.Calls[j].Together {
				add(step+".together", "no step comes before it")
			}
			for k := range c.Calls[j].Handler {
				if wrong := c.Calls[j].Handler[k].wrong(); wrong != "" {
					add(t.ScriptPath(step, k), "%s", wrong)
				}
			}
		}
		if !expects {
			add(path, "expects nothing: add expect, such as expect: {OK: 1}")
		}
	}
	return problems
}

// wrong returns what is wrong with a script, or "".
func (s *TestScript) wrong() string {
	selections := 0
	for _, set := range []bool{s.First != nil, s.Every != nil, s.Share != nil} {
		if set {
			selections++
		}
	}
	switch {
	case selections > 1:
		return "only one of first, every and share can select the calls; several scripts form a list"
	case s.Reason != "" && s.Error == "":
		return "reason needs error"
	case s.RunsOn && s.Delay == 0:
		return "runsOn needs delay"
	}
	return ""
}

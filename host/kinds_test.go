package host

import (
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// The kind behind a refusal is found by its reason, and ByNumber knows those that refuse calls by their number.
func TestTheReasonOfEachKindIsItsOwn(t *testing.T) {
	const spent, never = reasonRetryBudget, ""
	for _, kind := range config.Kinds() {
		fixtures, ok := map[config.Kind][]string{
			config.KindAccess:    {"{deny: [{caller: '*'}]}"},
			config.KindRateLimit: {"{rate: 1, per: 24h}", "{rate: 1, key: metadata.tenant, onMissingKey: refuse}"},
			// The first failure opens it.
			config.KindCircuitBreaker:   {"{consecutiveFailures: 1}"},
			config.KindConcurrency:      {"{max: 1}"},
			config.KindTimeout:          {"1h"},
			config.KindPriority:         {never},
			config.KindShed:             {"{cpuAbove: 50%}"},
			config.KindRetry:            {spent}, // of policies.SpentError
			config.KindHedge:            {never},
			config.KindOutlierDetection: {never},
		}[kind]
		if !ok {
			t.Errorf("%s has no fixture", kind)
		}
		counts := false
		for _, fixture := range fixtures {
			behind := kindOf[fixture]
			if fixture != never && !kind.ClientOnly() {
				e, byNumber := refusedFor(t, kind, fixture)
				behind = kindBehind(e, e.Reason)
				counts = counts || byNumber
			}
			if fixture != never && behind != kind {
				t.Errorf("a refusal by %s is taken for one by %q", kind, behind)
			}
		}
		if counts != kind.ByNumber() {
			t.Errorf("%s refuses calls by their number: %t, but ByNumber returns %t", kind, counts, !counts)
		}
	}
}

// refusedFor returns the error with which a rule of one kind refuses or ends one of three calls. The first fails once the second has
// begun; byNumber reports whether the second is refused.
func refusedFor(t *testing.T, kind config.Kind, block string) (e *code.Error, byNumber bool) {
	t.Helper()
	text := "rules: [{name: r, match: {service: Till}, " + string(kind) + ": " + block + "}]\n"
	rules, problems := config.DecodeRules("r.yaml", []byte(text), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	target := policies.Target{Service: "Till", Method: "Get"}
	s, err := policies.Compile(rules, []policies.Target{target}, nil, policies.Options{CPU: func() policies.Load { return policies.Load{Utilization: 0.75, Cores: 1} }})
	if err != nil {
		t.Fatal(err)
	}
	tickets := make([]policies.Ticket, 3)
	for i := range tickets {
		call := policies.Call{Metadata: noMetadata{}}
		if err := s.Guard(target).Enter(t.Context(), &call, &tickets[i]); err != nil {
			return code.From(err), i == 1
		}
		defer tickets[i].Done(nil)
		if i == 1 {
			tickets[0].Done(code.Errorf(code.Unavailable, "down"))
		}
	}
	return tickets[2].Late(), false
}

type noMetadata struct{}

func (noMetadata) Get(string) string { return "" }

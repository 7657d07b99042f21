package host

import (
	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

func problemViews(problems config.Problems) []admin.Problem {
	list := []admin.Problem{}
	for _, p := range problems {
		list = append(list, admin.Problem(p))
	}
	return list
}

func revisionView(r Revision) admin.Revision {
	v := admin.Revision{
		Revision: r.Number, Hash: r.Hash, At: r.At, Source: r.Source, Who: r.Who, Why: r.Why, Result: r.Result,
		Took: r.Took.Seconds(), Rules: r.Rules, Error: r.Error, Problems: problemViews(r.Problems), Warnings: problemViews(r.Warnings),
	}
	v.Changes = changeViews(r.Changes)
	for _, f := range r.Files {
		v.Files = append(v.Files, admin.File{Path: f.Path, Hash: f.Hash})
	}
	return v
}

func changeViews(changes config.Changes) []admin.Change {
	var list []admin.Change
	for _, c := range changes {
		list = append(list, admin.Change{
			Subject: c.Subject, Path: c.Path, Old: c.Old, New: c.New, Class: string(c.Class), Position: c.Position.String(), Text: c.Text,
		})
	}
	return list
}

func refusalView(r refusal) admin.Refusal {
	v := admin.Refusal{
		At: r.at, Count: r.count, Upstream: r.upstream, Service: r.target.Service, Method: r.target.Method, Caller: r.caller, Key: r.key,
		Various: r.various, Shadow: r.shadow, Code: r.code.String(), Reason: r.reason, Rule: r.rule, Kind: r.kind,
		Position: r.position, State: r.state, Trace: r.trace,
	}
	if r.peer.IsValid() {
		v.Peer = r.peer.String()
	}
	return v
}

func ruleView(s policies.RuleState) admin.Rule {
	v := admin.Rule{
		Name: s.Name, Description: s.Description, Mode: string(s.Mode), EnforceShare: s.EnforceShare, Expires: s.Expires, Expired: s.Expired,
		Position: s.Position, Targets: s.Targets, Kinds: []admin.RuleKind{},
	}
	for _, k := range s.Kinds {
		v.Kinds = append(v.Kinds, admin.RuleKind{
			Kind: string(k.Kind), Position: k.Position, Setting: k.Setting, State: k.State, Decisions: admin.Decisions(k.Decisions),
		})
	}
	return v
}

// pastRule is a rule of a revision that no longer decides: compiled once more to say its settings, without state.
func pastRule(r *config.Rule) (admin.Rule, error) {
	alone, err := policies.Compile([]config.Rule{*r}, nil, nil, policies.Options{})
	if err != nil {
		return admin.Rule{}, err
	}
	v := ruleView(alone.Rules()[0])
	for i := range v.Kinds {
		v.Kinds[i].State = ""
	}
	return v, nil
}

func explanationView(x policies.Explanation) *admin.Explanation {
	v := &admin.Explanation{
		Upstream: x.Upstream, Service: x.Service, Method: x.Method, Caller: x.Caller, Peer: x.Peer, Revision: x.Revision, Kinds: []admin.KindExplanation{},
	}
	for _, k := range x.Kinds {
		kind := admin.KindExplanation{Kind: string(k.Kind), Applies: []admin.AppliedRule{}, Losers: []admin.LosingRule{}}
		for _, r := range k.Applies {
			kind.Applies = append(kind.Applies, admin.AppliedRule{
				Rule: r.Rule, Mode: string(r.Mode), EnforceShare: r.EnforceShare, Enforced: r.Enforced,
				Position: r.Position, Setting: r.Setting, State: r.State, Decisions: admin.Decisions(r.Decisions),
			})
		}
		for _, r := range k.Losers {
			kind.Losers = append(kind.Losers, admin.LosingRule{
				Rule: r.Rule, Mode: string(r.Mode), Position: r.Position, Reason: r.Reason,
			})
		}
		v.Kinds = append(v.Kinds, kind)
	}
	return v
}

package host

import (
	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

func revisionView(r Revision) admin.Revision {
	return admin.Revision{
		Revision: r.Number, Hash: r.Hash, At: r.At, Source: r.Source, Who: r.Who, Why: r.Why, Result: r.Result,
		Took: r.Took.Seconds(), Rules: r.Rules, Error: r.Error, Problems: r.Problems, Warnings: r.Warnings,
		Changes: changeViews(r.Changes), Files: r.Files,
	}
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

// pastRule returns a rule of a revision as it was compiled then, without state.
func pastRule(r *config.Rule) (policies.RuleState, error) {
	alone, err := policies.Compile([]config.Rule{*r}, nil, nil, policies.Options{})
	if err != nil {
		return policies.RuleState{}, err
	}
	v := alone.Rules()[0]
	for i := range v.Kinds {
		v.Kinds[i].State = ""
	}
	return v, nil
}

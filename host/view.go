package host

import (
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
)

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

// shownExpiries bounds the expiries in status: tokens are often issued by the thousand.
const shownExpiries = 200

// expiryViews returns what has expired or will soon, and how many are left out.
func expiryViews(set *config.Set, now time.Time) (list []admin.Expiry, more int) {
	list = []admin.Expiry{}
	for _, e := range set.Expiries() {
		if e.At.Sub(now) > config.ExpiresSoon {
			break
		}
		if len(list) == shownExpiries {
			more++
			continue
		}
		v := admin.Expiry{
			Rule: e.Rule, Caller: e.Caller, Mode: string(e.Mode), At: e.At, Expired: !now.Before(e.At), Opens: e.Opens(), Effect: e.Effect(),
			Position: e.Position.String(),
		}
		for _, k := range e.Kinds {
			v.Kinds = append(v.Kinds, string(k))
		}
		list = append(list, v)
	}
	return list, more
}

func budgetView(b *wire.Budget) admin.Budget {
	u := b.Usage()
	return admin.Budget{
		InFlight: u.InFlight, MaxInFlight: u.MaxInFlight, BufferedBytes: u.BufferedBytes, MaxBufferedBytes: u.MaxBufferedBytes,
		Refused: u.Refused,
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// desired returns the files that should be in force.
func desired(set *config.Set) []config.File {
	if set.Fallback != "" {
		return set.Desired
	}
	return set.Files
}

// fallbackInUse returns what runs in place of files that are wrong, and which files those are after the last attempt.
func fallbackInUse(set *config.Set, last Revision) *admin.Fallback {
	if set.Fallback == "" {
		return nil
	}
	problems := set.Rejected.Errors()
	if found := last.Problems.Errors(); last.Result == ResultRejected && len(found) > 0 {
		problems = found
	}
	return &admin.Fallback{What: set.Fallback, Mend: problems.Files(), Problems: problems}
}

func serviceStatus(s *service, unready error) admin.ServiceStatus {
	v := admin.ServiceStatus{
		Name: s.Config.Name, Handler: s.Config.Handler, Aliases: s.Config.Aliases, Ready: true, InFlight: s.instance.InFlight(),
	}
	for _, m := range s.Methods {
		v.Methods = append(v.Methods, m.Name)
	}
	if unready != nil {
		v.Ready, v.Detail = false, unready.Error()
	}
	return v
}

func filePaths(files []config.File) []string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return paths
}

func pendingViews(changes config.Changes) []admin.Pending {
	list := []admin.Pending{}
	for _, c := range changes {
		field := strings.Trim(c.Subject+"."+c.Path, ".")
		list = append(list, admin.Pending{Field: field, Running: c.Old, Desired: c.New, Position: c.Position.String()})
	}
	return list
}

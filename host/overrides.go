package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// overrides puts overrides in force by command, and ends them in time.
type overrides struct {
	*commands
	timer *time.Timer // of the first end; guarded by applying
}

// retryEnd is how long the host waits after it could not end an override.
const retryEnd = 10 * time.Second

// checkEnd is how long the host waits at most until it looks whether an override has ended.
const checkEnd = time.Minute

// put puts an override in force.
func (o *overrides) put(ctx context.Context, q *admin.OverrideRequest) (*admin.OverrideResult, error) {
	o.rollbacks.hurry()
	o.reloading.Lock()
	defer o.reloading.Unlock()
	x := admin.Override{Action: q.Action, Since: time.Now().Round(0), Who: q.Who, Why: q.Message}
	x.Until = x.Since.Add(time.Duration(q.For))
	if err := o.describe(&x, q); err != nil {
		o.reject(trigger{source: admin.SourceOverride, who: q.Who, why: q.Message}, err)
		return nil, err
	}
	why := fmt.Sprintf("%s until %s", x.Text, x.Until.UTC().Format(time.RFC3339))
	if q.Message != "" {
		why = q.Message + " (" + why + ")"
	}
	r, err := o.change(ctx, trigger{
		source: admin.SourceOverride, who: q.Who, why: why, warnings: o.lost(o.current.Load().set), overrides: func(l overlay) overlay { return l.with(x) },
	})
	return &admin.OverrideResult{Override: x, Revision: r}, err
}

// drop ends an override.
func (o *overrides) drop(ctx context.Context, name, who string) (*admin.OverrideResult, error) {
	o.rollbacks.hurry()
	o.reloading.Lock()
	defer o.reloading.Unlock()
	list := o.current.Load().overrides
	x := list.named(name)
	if x == nil {
		var names []string
		for _, known := range list {
			names = append(names, known.Name)
		}
		e := admin.Errorf(admin.CodeNotFound, "no override is named %q", name)
		if len(names) == 0 {
			return nil, e.WithHelp("no override is in force")
		}
		return nil, e.WithHelp("in force: %s", strings.Join(names, ", "))
	}
	r, err := o.change(ctx, trigger{
		source: admin.SourceOverride, who: who, why: "dropped " + name, accepted: true, overrides: func(l overlay) overlay { return l.without(name) },
	})
	return &admin.OverrideResult{Override: *x, Revision: r}, err
}

// change applies what runs with other overrides. The attempt that it returns has only the warnings that are new.
func (o *overrides) change(ctx context.Context, from trigger) (Attempt, error) {
	var r Attempt
	set, known, u := o.current.Load().set, o.current.Load().warnings, o.toConfirm()
	if u != nil {
		from.revertAt = u.at
	}
	err := error(new(staleError))
	for stale := new(staleError); errors.As(err, &stale); set = o.current.Load().set { // autoRollback may act at the same time
		from.match, from.holds = set.Hash, o.rollbacks.held.Load()
		r, err = o.apply(ctx, set.Plain(), from)
	}
	if err == nil && u != nil && o.toConfirm() == nil { // it was confirmed or undone meanwhile
		o.amend(r.Number, func(about *Attempt) { about.RevertAt = time.Time{} })
	}
	r.Warnings = slices.DeleteFunc(slices.Clone(r.Warnings), func(w config.Problem) bool { return slices.Contains(known, w) }) // of the answer
	return r, err
}

// lost returns a warning if overrides end with the process, and nil otherwise.
func (o *overrides) lost(set *config.Set) config.Problems {
	if o.state != nil {
		return nil
	}
	w := set.ProblemAt("host.state", "without host.state in the manifest, overrides end with the process")
	w[0].Warning = true
	return w
}

// applied keeps the overrides of a new generation, and waits for the end of the first. A revision that waits to be confirmed waits on if
// nothing else changes. The caller holds o.applying.
func (o *overrides) applied(prev, g *generation) {
	if u := o.unconfirmed.Load(); u != nil && prev != nil && u.revision == prev.revision && g.set.Plain() == prev.set.Plain() {
		next := *u
		next.revision = g.revision
		o.unconfirmed.Store(&next)
	}
	if d := o.state; d != nil && prev != nil && !slices.Equal(prev.overrides, g.overrides) {
		_ = d.writer.do(func() error { return d.store.SetOverrides(g.overrides) })
	}
	o.awaitEnd(g)
}

// awaitEnd waits for the first end of an override. Since the clock may be set, it looks again after a while.
func (o *overrides) awaitEnd(g *generation) {
	if at := g.overrides.firstEnd(); !at.IsZero() && !o.draining.Load() {
		o.endIn(min(time.Until(at), checkEnd))
	}
}

func (o *overrides) endIn(d time.Duration) {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.timer = time.AfterFunc(max(d, 0), o.end)
}

// end takes overrides out of force whose time is over.
func (o *overrides) end() {
	o.reloading.Lock()
	defer o.reloading.Unlock()
	ended := o.current.Load().overrides.names(time.Now())
	if ended == "" {
		o.locked(o.awaitEnd)
		return
	}
	_, err := o.change(context.Background(), trigger{
		source: admin.SourceExpiry, why: "ended: " + ended, accepted: true, overrides: func(l overlay) overlay { return l },
	})
	if err == nil || errors.Is(err, ErrDraining) {
		return
	}
	o.log.Error("an override has ended, but cannot be taken out of force: the host tries again", "override", ended, "error", err)
	o.locked(func(*generation) { o.endIn(retryEnd) })
}

// describe completes an override as the request asks.
func (o *overrides) describe(x *admin.Override, q *admin.OverrideRequest) error {
	set := o.current.Load().set.Plain()
	switch q.Action {
	case admin.ActionOverride:
		if set.Rule(q.Rule) == nil {
			return noRule(set, q.Rule)
		}
		x.Name, x.Target, x.Field, x.Value = overrideName(q.Rule, q.Field), q.Rule, q.Field, q.Value
		x.Text = fmt.Sprintf("sets %s of %s to %s", q.Field, q.Rule, q.Value)
		return nil
	case admin.ActionBreaker:
		return breakers{o.current.Load()}.hold(x, q)
	case admin.ActionBypass:
		kind := config.Kind(q.Kind)
		switch {
		case kind == config.KindAccess:
			return admin.Errorf(admin.CodeBadRequest, "access cannot be bypassed").WithHelp("it decides who may call")
		case !slices.Contains(config.Kinds(), kind):
			e := admin.Errorf(admin.CodeBadRequest, "unknown kind of rule %q", q.Kind)
			if meant := config.Suggest(q.Kind, config.Bypassable()); meant != "" {
				return e.WithHelp("did you mean %s?", meant)
			}
			return e.WithHelp("known: %s", strings.Join(config.Bypassable(), ", "))
		}
		x.Name, x.Kind, x.Text = overrideName(q.Action, q.Kind), q.Kind, "takes "+q.Kind+" of all rules out of force"
		return nil
	}
	err := o.describeRule(x, q)
	if own := set.Rule(x.Name); err == nil && own != nil {
		return admin.Errorf(admin.CodeConflict, "%s has a rule of the name %s", own.Position(""), x.Name).
			WithHelp("change that rule, or its values by easymicro override %s FIELD=VALUE", x.Name)
	}
	return err
}

// describeRule completes a limit or a block.
func (o *overrides) describeRule(x *admin.Override, q *admin.OverrideRequest) error {
	service, method, err := o.methodsOf(q.Method)
	if err != nil {
		return err
	}
	match, who, calls := "service: "+quoted(service), "all", "calls"
	if method != "" && method != "*" {
		match += ", method: " + quoted(method)
	}
	if q.Caller != "" {
		match, who, calls = match+", caller: "+quoted(q.Caller), q.Caller, calls+" of "+q.Caller
	}
	if q.Peer != "" {
		if !isPeer(q.Peer) {
			return admin.Errorf(admin.CodeBadRequest, "peer: cannot read %q", q.Peer).WithHelp("want an IP address or a network such as 10.0.0.0/8")
		}
		match, who, calls = match+", peer: "+quoted(q.Peer), strings.TrimPrefix(who+"."+q.Peer, "all."), calls+" from "+q.Peer
	}
	called := strings.TrimPrefix(q.Method, "/")
	if every, ok := strings.CutSuffix(called, "*"); ok && (every == "" || method == "*") {
		called = every + "all"
	}
	x.Name = overrideName(q.Action, who, called)
	does := `access: {deny: [{caller: "*"}]}`
	x.Text = "refuses " + calls + " to " + q.Method
	if q.Action == admin.ActionLimit {
		limit, err := limitOf(q.Rate)
		if err != nil {
			return err
		}
		rate := q.Rate
		if !strings.Contains(rate, "/") {
			rate += "/s"
		}
		does, x.Text = limit, "limits "+calls+" to "+q.Method+" to "+rate
	}
	x.Rule = fmt.Sprintf("{name: %s, match: {%s}, %s}", quoted(x.Name), match, does)
	return nil
}

// methodsOf splits the name or the pattern of methods, some of which must be known. Rules have the names of services, not their aliases.
func (o *overrides) methodsOf(name string) (service, method string, err error) {
	g := o.current.Load()
	service, method, ok := admin.SplitMethod(name)
	switch {
	case name == "*":
		return "*", "", nil
	case !ok:
		return "", "", admin.Errorf(admin.CodeBadRequest, "%q is not a method", name).WithHelp("want SERVICE.METHOD, SERVICE.* or *")
	case !strings.Contains(name, "*"):
		x, err := view.Explain(g.view(), admin.ExplainQuery{Service: service, Method: method})
		if err != nil {
			return "", "", err
		}
		if x.Upstream != "" {
			return "", "", admin.Errorf(admin.CodeBadRequest, "%s is an upstream, and limit and block are for calls that come in", x.Upstream).
				WithHelp("easymicro breaker open keeps calls from it")
		}
		return x.Service, x.Method, nil
	}
	if s, ok := g.routes.Service(service); ok {
		service = s.Config.Name
	}
	if matchesAny(&g.routes, service, method) {
		return service, method, nil
	}
	e := admin.Errorf(admin.CodeNotFound, "no method matches %s", name)
	if meant := config.Suggest(service, g.routes.Callable()); meant != "" && meant != service {
		return "", "", e.WithHelp("did you mean %s.%s?", meant, method)
	}
	return "", "", e.WithHelp("services: %s", few(g.routes.Callable(), "none"))
}

// matchesAny reports whether a pattern of services and one of methods match a method of this host, or a service of another host, whose
// methods are not known.
func matchesAny(t *route.Table, service, method string) bool {
	return slices.ContainsFunc(t.Targets(), func(m policies.Target) bool {
		return wildcard.Match(service, m.Service) && wildcard.Match(method, m.Method)
	}) || slices.ContainsFunc(t.Remote.All(), func(name string) bool { return wildcard.Match(service, name) })
}

// limitOf returns the rate limit for a rate such as 5/s. It lets the calls of one second through at once.
func limitOf(text string) (string, error) {
	amount, unit, _ := strings.Cut(text, "/")
	rate, err := strconv.ParseFloat(amount, 64)
	per, known := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if !known {
		per, _ = time.ParseDuration(unit)
	}
	burst := max(1, math.Ceil(rate*float64(time.Second)/float64(per)))
	if err != nil || !(rate > 0) || math.IsInf(burst, 0) || per <= 0 {
		e := admin.Errorf(admin.CodeBadRequest, "rate: cannot read %q", text)
		return "", e.WithHelp("want calls and a time, such as 5/s, 300/m or 1/10s; to refuse all calls, use block")
	}
	return fmt.Sprintf("rateLimit: {rate: %v, per: %s, burst: %.0f}", rate, per, burst), nil
}

func isPeer(text string) bool {
	_, errAddr := netip.ParseAddr(text)
	_, errPrefix := netip.ParsePrefix(text)
	return errAddr == nil || errPrefix == nil
}

// quoted returns a string in YAML.
func quoted(text string) string { return strconv.Quote(strings.ReplaceAll(text, "${", "$${")) }

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// overrideName joins words to the name of a rule. Different words give different names.
func overrideName(words ...string) string {
	const longest = 64
	plain := strings.Join(words, ".")
	name := notInNames.ReplaceAllString(plain, "-")
	if name != plain || len(name) > longest {
		sum := sha256.Sum256([]byte(plain))
		name = name[:min(len(name), longest-9)] + "-" + hex.EncodeToString(sum[:4])
	}
	return name
}

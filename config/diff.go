package config

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Diff returns how next differs from old in meaning: fields by value, defaults included; rules, services and
// listeners by name. Order, comments and spelling do not count. Possible secrets are never shown.
func Diff(old, next *Set) Changes {
	d := &setDiffer{fieldDiffer: fieldDiffer{types: structTypes{}}, old: old.Manifest, next: next.Manifest, now: time.Now()}
	both := d.old != nil && d.next != nil
	if both {
		d.manifest()
	}
	d.rules(old.Rules, next.Rules)
	d.tokens("tokens", Wider, entries(old.Tokens), entries(next.Tokens))
	d.tokens("admin tokens", Neutral, entries(old.Operators), entries(next.Operators))
	if both {
		d.contents(old.Contents, next.Contents)
	}
	return d.changes
}

// setDiffer compares two sets, subject by subject.
type setDiffer struct {
	fieldDiffer
	old, next *Manifest
	now       time.Time
}

// gateway compares the gateway blocks: routes by path, everything else by value.
func (d *setDiffer) gateway(how tags) {
	p, q := d.old.Gateway, d.next.Gateway
	d.list("gateway.routes", reflect.ValueOf(p.Routes), reflect.ValueOf(q.Routes), pairRoutes(p.Routes, q.Routes), how,
		func(v reflect.Value) (subject, title string) {
			title = "route " + oneLine(v.FieldByName("Path").String())
			return title, title
		})
	p.Routes, q.Routes = nil, nil
	d.subject, d.at = "", d.next.Position
	d.values("gateway", reflect.ValueOf(p), reflect.ValueOf(q), how)
}

// routeKey identifies a route: a path may have several, for different HTTP methods.
func routeKey(r *Route) string {
	methods := slices.Sorted(slices.Values(r.Methods))
	return r.Path + " " + strings.Join(methods, ",")
}

// pairRoutes maps each route of next to its predecessor: of the same path and HTTP methods, or else of the same
// path.
func pairRoutes(old, next []Route) map[int]int {
	pairs, used := map[int]int{}, map[int]bool{}
	for _, key := range []func(*Route) string{routeKey, func(r *Route) string { return r.Path }} {
		byKey := map[string][]int{}
		for j := range old {
			if !used[j] {
				k := key(&old[j])
				byKey[k] = append(byKey[k], j)
			}
		}
		for i := range next {
			k := key(&next[i])
			if _, paired := pairs[i]; paired || len(byKey[k]) == 0 {
				continue
			}
			pairs[i], used[byKey[k][0]] = byKey[k][0], true
			byKey[k] = byKey[k][1:]
		}
	}
	return pairs
}

// manifest compares two manifests block by block, services and listeners by name.
func (d *setDiffer) manifest() {
	a, b := reflect.ValueOf(d.old).Elem(), reflect.ValueOf(d.next).Elem()
	for _, f := range d.types.of(b.Type()).fields {
		va, vb := a.FieldByIndex(f.index), b.FieldByIndex(f.index)
		how := tags{}.inside(f)
		switch f.name {
		case "policies":
		case "discovery":
			d.clusters(how)
		case "gateway":
			d.gateway(how)
		case "listeners", "services", "upstreams":
			d.named(f.name, strings.TrimSuffix(f.name, "s"), va, vb, how)
		default:
			d.subject, d.at = "", d.next.Position
			d.values(f.name, va, vb, how)
		}
	}
	d.subject, d.at = "", d.next.Position
	p, q := d.old.Policies, d.next.Policies
	p.Rules, q.Rules = nil, nil // compared by name
	d.values("policies", reflect.ValueOf(p), reflect.ValueOf(q), tags{class: Live})
}

// clusters compares the entries of discovery.etcd.
func (d *setDiffer) clusters(how tags) {
	of := func(m *Manifest) reflect.Value {
		if m.Discovery == nil {
			return reflect.ValueOf([]Etcd(nil))
		}
		return reflect.ValueOf(m.Discovery.Etcd)
	}
	d.named("discovery.etcd", "discovery", of(d.old), of(d.next), how)
}

// named compares two lists of the manifest whose elements have names; what is the word for an element.
func (d *setDiffer) named(path, what string, old, next reflect.Value, how tags) {
	name := func(v reflect.Value) string { return v.FieldByName("Name").String() }
	before, pairs := map[string]int{}, map[int]int{}
	for i := range old.Len() {
		before[name(old.Index(i))] = i
	}
	for i := range next.Len() {
		if j, known := before[name(next.Index(i))]; known {
			pairs[i] = j
		}
	}
	d.list(path, old, next, pairs, how, func(v reflect.Value) (subject, title string) { return name(v), what + " " + name(v) })
}

// list compares two lists of the manifest. pairs maps the index of each element of next to that of its predecessor in old; names
// returns what a change calls an element as a whole, and before its fields.
func (d *setDiffer) list(
	path string, old, next reflect.Value, pairs map[int]int, how tags, names func(reflect.Value) (subject, title string),
) {
	kept := map[int]bool{}
	for i := range next.Len() {
		subject, title := names(next.Index(i))
		at := path + "[" + strconv.Itoa(i) + "]"
		j, known := pairs[i]
		if !known {
			d.add(Change{
				Subject: subject, Text: title + " added", Class: how.class, Position: d.next.Position(at), Op: OpAdd, Effect: presence(path),
			})
			continue
		}
		kept[j] = true
		d.subject, d.at = title, func(path string) Position { return d.next.Position(join(at, path)) }
		d.structs("", old.Index(j), next.Index(i), how)
	}
	for j := range old.Len() {
		if subject, title := names(old.Index(j)); !kept[j] {
			at := path + "[" + strconv.Itoa(j) + "]"
			d.add(Change{
				Subject: subject, Text: title + " removed", Class: how.class, Position: d.old.Position(at), Op: OpRemove,
				Effect: presence(path).opposite(),
			})
		}
	}
}

// presence returns the effect of an element of a list of the manifest that is added.
func presence(path string) Effect {
	switch path {
	case "listeners", "services", "gateway.routes":
		return Wider
	default:
		return Changed
	}
}

// rules compares rules by name, or by their former name (was).
func (d *setDiffer) rules(old, next []Rule) {
	before := make(map[string]*Rule, len(old))
	for i := range old {
		before[old[i].Name] = &old[i]
	}
	for i := range next {
		r := &next[i]
		was, known := before[r.Name]
		if !known && r.Was != "" {
			was, known = before[r.Was]
		}
		if !known {
			text := strings.TrimPrefix(ruleWord(r), "enforced ") + " " + r.Name + " added"
			d.add(Change{Subject: r.Name, New: ruleText(r), Text: text, Class: Live, Position: r.Position(""), Op: OpAdd, Effect: rulePresence(r, d.now)})
			continue
		}
		delete(before, was.Name)
		d.subject, d.at = r.Name, r.Position
		d.rule = newRuleEffect(was, r, d.now)
		d.structs("", reflect.ValueOf(was).Elem(), reflect.ValueOf(r).Elem(), tags{class: Live})
	}
	d.rule = nil
	for i := range old {
		if r := &old[i]; before[r.Name] == r {
			d.add(Change{
				Subject: r.Name, Old: ruleText(r), Text: ruleWord(r) + " " + r.Name + " removed", Class: Live, Position: r.Position(""),
				Op: OpRemove, Effect: rulePresence(r, d.now).opposite(),
			})
		}
	}
}

// ruleWord returns the word for a rule by its mode.
func ruleWord(r *Rule) string {
	switch r.Mode {
	case Shadow:
		return "shadow rule"
	case Off:
		return "rule (off)"
	default:
		return "enforced rule"
	}
}

func ruleText(r *Rule) string {
	kinds := make([]string, 0, 2)
	for _, k := range r.Kinds() {
		kinds = append(kinds, string(k))
	}
	return strings.Join(kinds, ", ")
}

// tokens compares tokens by text and hash; hashes are never shown. effect is the effect of an added token.
func (d *setDiffer) tokens(subject string, effect Effect, old, next []tokenEntry) {
	key := func(t tokenEntry) string { return t.text + " " + t.sha256 }
	how := tags{Live, moreIsWider + unsetIsMost, nil}
	if effect == Neutral {
		how.effect = neutralWhatever
	}
	before := map[string]tokenEntry{}
	for _, t := range old {
		before[key(t)] = t
	}
	for _, t := range next {
		was, known := before[key(t)]
		delete(before, key(t))
		if !known {
			text := t.text + " added"
			if t.role != "" {
				text += ", role " + t.role
			}
			d.add(Change{Subject: subject, Text: text, Class: Live, Position: t.expiry.Position, Op: OpAdd, Effect: effect})
			continue
		}
		d.subject, d.at = t.text, func(string) Position { return t.expiry.Position }
		d.whole("role", reflect.ValueOf(was.role), reflect.ValueOf(t.role), how)
		if !was.expiry.At.Equal(t.expiry.At) {
			d.whole("expires", reflect.ValueOf(was.expiry.At), reflect.ValueOf(t.expiry.At), how)
		}
	}
	for _, t := range old {
		if _, gone := before[key(t)]; gone {
			d.add(Change{Subject: subject, Text: t.text + " removed", Class: Live, Position: t.expiry.Position, Op: OpRemove, Effect: effect.opposite()})
		}
	}
}

// contents reports named files with changed content.
func (d *setDiffer) contents(old, next Contents) {
	for _, f := range d.next.NamedFiles() {
		if f.Field == adminTokensField {
			continue // its tokens are compared
		}
		was, known := old[f.Path]
		if is, ok := next[f.Path]; known && ok && !bytes.Equal(was, is) {
			d.add(Change{Subject: f.Path, Text: f.Path + " content changed", Class: Live, Position: d.next.Position(f.Field), Op: OpChange, Effect: Changed})
		}
	}
}

package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Diff returns how next differs from old in meaning: fields by value, defaults included; rules, services and
// listeners by name. Order, comments and spelling do not count. Possible secrets are never shown.
func Diff(old, next *Set) Changes {
	d := &setDiffer{fieldDiffer{types: structTypes{}}}
	if old.Manifest != nil && next.Manifest != nil {
		d.manifest(old.Manifest, next.Manifest)
	}
	d.rules(old.Rules, next.Rules)
	d.tokens(old.Tokens, next.Tokens)
	d.contents(old, next)
	return d.changes
}

// setDiffer compares two sets, subject by subject.
type setDiffer struct{ fieldDiffer }

// gateway compares the gateway blocks: routes by path, everything else by value.
func (d *setDiffer) gateway(old, next *Manifest, class Class) {
	p, q := old.Gateway, next.Gateway
	d.routes(old, next, class)
	p.Routes, q.Routes = nil, nil
	d.values("gateway", reflect.ValueOf(p), reflect.ValueOf(q), class)
}

// routeKey identifies a route: a path may have several, for different HTTP methods.
func routeKey(r *Route) string {
	methods := slices.Sorted(slices.Values(r.Methods))
	return r.Path + " " + strings.Join(methods, ",")
}

// routes reports routes that were added, removed or changed.
func (d *setDiffer) routes(old, next *Manifest, class Class) {
	const path = "gateway.routes"
	name := func(r *Route) string { return "route " + oneLine(r.Path) }
	pairs := pairRoutes(old.Gateway.Routes, next.Gateway.Routes)
	gone := map[int]bool{}
	for i := range old.Gateway.Routes {
		gone[i] = true
	}
	for i := range next.Gateway.Routes {
		r := &next.Gateway.Routes[i]
		at := fmt.Sprintf("%s[%d]", path, i)
		j, known := pairs[i]
		if !known {
			d.add(Change{Subject: name(r), Text: name(r) + " added", Class: class, Position: next.Position(at)})
			continue
		}
		delete(gone, j)
		d.subject = name(r)
		d.at = func(path string) Position { return next.Position(join(at, path)) }
		d.structs("", reflect.ValueOf(old.Gateway.Routes[j]), reflect.ValueOf(*r), class)
	}
	for i := range old.Gateway.Routes {
		if r := &old.Gateway.Routes[i]; gone[i] {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.add(Change{Subject: name(r), Text: name(r) + " removed", Class: class, Position: old.Position(at)})
		}
	}
	d.subject, d.at = "", next.Position
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
func (d *setDiffer) manifest(old, next *Manifest) {
	byName := map[string]bool{"listeners": true, "services": true, "upstreams": true}
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	for _, f := range d.types.of(b.Type()).fields {
		if f.name == "policies" {
			continue
		}
		va, vb := a.FieldByIndex(f.index), b.FieldByIndex(f.index)
		if f.name == "discovery" {
			d.clusters(old, next, f.class)
			continue
		}
		if !byName[f.name] {
			d.subject, d.at = "", next.Position
			if f.name == "gateway" {
				d.gateway(old, next, f.class)
				continue
			}
			d.values(f.name, va, vb, f.class)
			continue
		}
		d.named(f.name, strings.TrimSuffix(f.name, "s"), va, vb, old, next, f.class)
	}
	d.subject, d.at = "", next.Position
	p, q := old.Policies, next.Policies
	p.Rules, q.Rules = nil, nil // compared by name
	d.values("policies", reflect.ValueOf(p), reflect.ValueOf(q), Live)
}

// clusters compares the entries of discovery.etcd.
func (d *setDiffer) clusters(old, next *Manifest, class Class) {
	of := func(m *Manifest) reflect.Value {
		if m.Discovery == nil {
			return reflect.ValueOf([]Etcd(nil))
		}
		return reflect.ValueOf(m.Discovery.Etcd)
	}
	d.named("discovery.etcd", "discovery", of(old), of(next), old, next, class)
}

// named compares two lists of the manifest whose elements have names; what is the word for an element.
func (d *setDiffer) named(path, what string, old, next reflect.Value, oldManifest, nextManifest *Manifest, class Class) {
	name := func(v reflect.Value) string { return v.FieldByName("Name").String() }
	before := map[string]int{}
	for i := range old.Len() {
		before[name(old.Index(i))] = i
	}
	for i := range next.Len() {
		subject, at := name(next.Index(i)), path+"["+strconv.Itoa(i)+"]"
		j, known := before[subject]
		delete(before, subject)
		if !known {
			d.add(Change{Subject: subject, Text: what + " " + subject + " added", Class: class, Position: nextManifest.Position(at)})
			continue
		}
		d.subject = what + " " + subject
		d.at = func(path string) Position { return nextManifest.Position(join(at, path)) }
		d.structs("", old.Index(j), next.Index(i), class)
	}
	for i := range old.Len() {
		subject := name(old.Index(i))
		if j, gone := before[subject]; gone && j == i {
			at := path + "[" + strconv.Itoa(i) + "]"
			d.add(Change{Subject: subject, Text: what + " " + subject + " removed", Class: class, Position: oldManifest.Position(at)})
		}
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
			d.add(Change{Subject: r.Name, New: ruleText(r), Text: text, Class: Live, Position: r.Position("")})
			continue
		}
		delete(before, was.Name)
		d.subject, d.at = r.Name, r.Position
		d.structs("", reflect.ValueOf(was).Elem(), reflect.ValueOf(r).Elem(), Live)
	}
	for i := range old {
		if r := &old[i]; before[r.Name] == r {
			d.add(Change{Subject: r.Name, Old: ruleText(r), Text: ruleWord(r) + " " + r.Name + " removed", Class: Live, Position: r.Position("")})
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

// tokens compares tokens by caller and hash; hashes are never shown.
func (d *setDiffer) tokens(old, next []Token) {
	key := func(t Token) string { return t.Caller + " " + t.SHA256 }
	before := map[string]Token{}
	for _, t := range old {
		before[key(t)] = t
	}
	for _, t := range next {
		was, known := before[key(t)]
		delete(before, key(t))
		switch {
		case !known:
			d.add(Change{Subject: "tokens", Text: t.String() + " added", Class: Live, Position: t.position})
		case !was.Expires.Equal(t.Expires):
			d.subject, d.at = t.String(), func(string) Position { return t.position }
			d.whole("expires", reflect.ValueOf(was.Expires), reflect.ValueOf(t.Expires), Live)
		}
	}
	for _, t := range old {
		if _, gone := before[key(t)]; gone {
			d.add(Change{Subject: "tokens", Text: t.String() + " removed", Class: Live, Position: t.position})
		}
	}
}

// contents reports named files with changed content.
func (d *setDiffer) contents(old, next *Set) {
	if old.Manifest == nil || next.Manifest == nil {
		return
	}
	for _, f := range next.Manifest.NamedFiles() {
		was, known := old.Contents[f.Path]
		if is, ok := next.Contents[f.Path]; !known || !ok || bytes.Equal(was, is) {
			continue
		}
		d.add(Change{
			Subject: f.Path, Text: f.Path + " content changed", Class: Live, Position: next.Manifest.Position(f.Field),
		})
	}
}

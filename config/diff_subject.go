package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// manifest compares the blocks of two manifests; services and listeners by name.
func (d *differ) manifest(old, next *Manifest) {
	byName := map[string]bool{"listeners": true, "services": true, "upstreams": true}
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	for _, f := range d.types.structType(b.Type()).fields {
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
func (d *differ) clusters(old, next *Manifest, class Class) {
	of := func(m *Manifest) reflect.Value {
		if m.Discovery == nil {
			return reflect.ValueOf([]Etcd(nil))
		}
		return reflect.ValueOf(m.Discovery.Etcd)
	}
	d.named("discovery.etcd", "discovery", of(old), of(next), old, next, class)
}

// named compares two lists of the manifest whose elements have names; what is one of them.
func (d *differ) named(path, what string, old, next reflect.Value, oldManifest, nextManifest *Manifest, class Class) {
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

// rules compares rules by name; one with was is the rule that had that name.
func (d *differ) rules(old, next []Rule) {
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

// ruleWord says what adding or removing the rule means.
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

// tokens compares tokens by caller; the hashes are compared and never shown.
func (d *differ) tokens(old, next []Token) {
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

func sortedKeys(a, b reflect.Value) []reflect.Value {
	keys := a.MapKeys()
	for _, k := range b.MapKeys() {
		if !a.MapIndex(k).IsValid() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	return keys
}

// oneLine is text as it can stand in a line of a log.
func oneLine(s string) string {
	if s = clip(s); strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// written is a value as one writes it in a line: 500ms, [a, b], {max: 5}. What is as the defaults have it is left out.
func written(v reflect.Value) string {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && v.IsNil():
		return ""
	case t.Kind() == reflect.Pointer:
		return written(v.Elem())
	case t == rawOptionsType:
		return "{…}"
	case t.Kind() == reflect.String:
		return oneLine(v.String())
	case isScalar(t):
		return show(v)
	case t.Kind() == reflect.Slice && v.Len() == 0:
		return ""
	case t.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = written(v.Index(i))
		}
		if (t == patternsType || t == keyType || t == exceptionsType) && len(parts) == 1 {
			return parts[0]
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case t.Kind() == reflect.Struct:
		var parts []string
		for _, f := range newDecoder("", nil).structType(t).fields {
			fv := v.FieldByIndex(f.index)
			if text := written(fv); text != "" && !fv.IsZero() && !isOff(fv, f) {
				parts = append(parts, f.name+": "+text)
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v.Interface())
	}
}

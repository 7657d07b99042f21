package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// gateway compares the block of the gateway: the routes by path, all else by value.
func (d *differ) gateway(old, next *Manifest, class Class) {
	p, q := old.Gateway, next.Gateway
	d.routes(old, next, class)
	p.Routes, q.Routes = nil, nil
	d.values("gateway", reflect.ValueOf(p), reflect.ValueOf(q), class)
}

// routeKey tells routes apart: one path may have several, for HTTP methods of their own.
func routeKey(r *Route) string {
	methods := slices.Sorted(slices.Values(r.Methods))
	return r.Path + " " + strings.Join(methods, ",")
}

// routes says which route came, went or changed.
func (d *differ) routes(old, next *Manifest, class Class) {
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

// pairRoutes finds for each route of next the one that it was: of the same path and HTTP methods, or else of the same
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

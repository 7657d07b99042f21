package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// Kind is a kind of policy.
type Kind string

// The kinds.
const (
	KindAccess           Kind = "access"
	KindPriority         Kind = "priority"
	KindShed             Kind = "shed"
	KindRateLimit        Kind = "rateLimit"
	KindCircuitBreaker   Kind = "circuitBreaker"
	KindConcurrency      Kind = "concurrency"
	KindTimeout          Kind = "timeout"
	KindRetry            Kind = "retry"
	KindHedge            Kind = "hedge"
	KindOutlierDetection Kind = "outlierDetection"
)

// traits are properties of a kind. Each kind has either everyRule or oneWins.
type traits uint8

const (
	incoming  traits = 1 << iota // for calls of a server
	everyRule                    // each rule that matches a call is evaluated
	oneWins                      // only the most specific rule counts
	timed                        // depends on the time that a call has
	byNumber                     // refuses calls by their number
	orders                       // says which calls other kinds refuse first, and refuses none
)

// kinds lists all kinds in the order in which a server evaluates them. client is the place in the order of a client, from 1;
// 0 if the kind is not for calls to upstreams.
var kinds = [...]struct {
	kind   Kind
	traits traits
	client int
	of     func(*Rule) bool // reports whether a rule has the kind
}{
	{KindAccess, incoming | everyRule, 0, func(r *Rule) bool { return r.Access != nil }},
	{KindPriority, incoming | oneWins | orders, 2, func(r *Rule) bool { return r.Priority != nil }},
	{KindShed, incoming | everyRule | byNumber, 0, func(r *Rule) bool { return r.Shed != nil }},
	{KindRateLimit, incoming | everyRule | timed | byNumber, 3, func(r *Rule) bool { return r.RateLimit != nil }},
	{KindCircuitBreaker, incoming | oneWins | timed, 7, func(r *Rule) bool { return r.CircuitBreaker != nil }},
	{KindConcurrency, incoming | everyRule | timed | byNumber, 4, func(r *Rule) bool { return r.Concurrency != nil }},
	{KindTimeout, incoming | oneWins, 1, func(r *Rule) bool { return r.Timeout != nil }},
	{KindRetry, oneWins | timed, 5, func(r *Rule) bool { return r.Retry != nil }},
	{KindHedge, oneWins | timed, 6, func(r *Rule) bool { return r.Hedge != nil }},
	{KindOutlierDetection, oneWins | timed, 8, func(r *Rule) bool { return r.OutlierDetection != nil }},
}

// place returns the index of the kind in kinds; -1 for an unknown one, for which the methods that use it panic.
func (k Kind) place() int {
	for i := range kinds {
		if kinds[i].kind == k {
			return i
		}
	}
	return -1
}

func (k Kind) has(t traits) bool { return kinds[k.place()].traits&t != 0 }

// ServerOnly reports whether the kind is for incoming calls only.
func (k Kind) ServerOnly() bool { return kinds[k.place()].client == 0 }

// ClientOnly reports whether the kind is for calls to upstreams only.
func (k Kind) ClientOnly() bool { return !k.has(incoming) }

// OneWins reports whether only the most specific rule of the kind counts for a call, instead of every rule that matches it.
func (k Kind) OneWins() bool { return k.has(oneWins) }

// ByNumber reports whether rules of the kind refuse calls by their number, so that two of them refuse different calls. An unknown kind
// does not.
func (k Kind) ByNumber() bool { return k.place() >= 0 && k.has(byNumber) }

func (k Kind) timed() bool { return k.has(timed) }

// refuses reports whether rules of the kind refuse or end calls. Those that only calls to upstreams have change how a call is made.
func (k Kind) refuses() bool { return !k.ClientOnly() && !k.has(orders) }

// opens reports whether calls that a rule refused get through once it has expired. If one rule wins, a less specific one takes over.
func (k Kind) opens() bool { return !k.OneWins() }

// block returns the field of a rule for the kind.
func (k Kind) block(r *Rule) reflect.Value {
	return reflect.ValueOf(r).Elem().FieldByName(strings.ToUpper(string(k[:1])) + string(k[1:]))
}

// Kinds returns the kinds, in the order in which a server evaluates them, then those of clients.
func Kinds() []Kind {
	list := make([]Kind, len(kinds))
	for i := range kinds {
		list[i] = kinds[i].kind
	}
	return list
}

// ServerKinds returns the kinds for incoming calls, in the order of evaluation.
func ServerKinds() []Kind { return slices.DeleteFunc(Kinds(), Kind.ClientOnly) }

// ClientKinds returns the kinds for calls to upstreams, in the order of evaluation.
func ClientKinds() []Kind {
	list := slices.DeleteFunc(Kinds(), Kind.ServerOnly)
	slices.SortFunc(list, func(a, b Kind) int { return cmp.Compare(kinds[a.place()].client, kinds[b.place()].client) })
	return list
}

// kindsOfSide returns the kinds that a rule may have, as "access, rateLimit or timeout".
func kindsOfSide(r *Rule) string {
	list := ServerKinds()
	if r.ClientSide() {
		list = ClientKinds()
	}
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = string(k)
	}
	return orList(names)
}

// orList returns "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Bypassable returns the names of the kinds that can be taken out of force for a while: all but access, which decides who may call.
func Bypassable() []string {
	var names []string
	for _, k := range Kinds() {
		if k != KindAccess {
			names = append(names, string(k))
		}
	}
	return names
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Receivers of every kind. Each Do replies with its view of the receiver, the context and the argument.

type seen struct{ Receiver, Context, Argument string }

type ask struct {
	Text string
	List []*int
}

var errAsked = errors.New("asked for")

func answer(ctx context.Context, receiver any, args *ask, reply *seen) error {
	value, _ := ctx.Value(callKey{}).(*Call)
	*reply = seen{fmt.Sprint(receiver), value.Caller, args.Text}
	if args.Text == "fail" {
		return errAsked
	}
	return nil
}

type byPointer struct{ name string }

func (r *byPointer) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r.name, args, reply)
}

type byValue struct{ name string }

func (r byValue) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r.name, args, reply)
}

type wide struct {
	A, B, C, D, E, F, G, H, I, J, K, L string
	Numbers                            [100]int
}

func (r wide) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r.L, args, reply)
}

type oneWord struct{ p *string }

func (r oneWord) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, *r.p, args, reply)
}

type empty struct{}

func (empty) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, "me", args, reply)
}

type promoted struct {
	Before [3]int
	byPointer
}

type promotedPointer struct {
	Before [3]int
	*byPointer
}

type promotedValue struct {
	Before [3]int
	byValue
}

type doer interface {
	Do(ctx context.Context, args *ask, reply *seen) error
}

type promotedInterface struct {
	Before [3]int
	doer
}

type function func() string

func (r function) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r(), args, reply)
}

type mapping map[string]string

func (r mapping) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r["name"], args, reply)
}

type list []string

func (r list) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r[0], args, reply)
}

type text string

func (r text) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, string(r), args, reply)
}

type channel chan string

func (r channel) Do(ctx context.Context, args *ask, reply *seen) error {
	name := <-r
	r <- name
	return answer(ctx, name, args, reply)
}

type generic[T any] struct{ v T }

func (r *generic[T]) Do(ctx context.Context, args *ask, reply *seen) error {
	return answer(ctx, r.v, args, reply)
}

func receivers() map[string]any {
	me, one := "me", make(channel, 1)
	one <- "me"
	return map[string]any{
		"pointer":                   &byPointer{"me"},
		"pointer method of a value": byPointer{"me"},
		"value":                     byValue{"me"},
		"value method of a pointer": &byValue{"me"},
		"many fields":               wide{L: "me"},
		"pointer to many fields":    &wide{L: "me"},
		"one word":                  oneWord{&me},
		"empty":                     empty{},
		"pointer to empty":          &empty{},
		"promoted":                  &promoted{byPointer: byPointer{"me"}},
		"promoted from a pointer":   promotedPointer{byPointer: &byPointer{"me"}},
		"promoted value method":     &promotedValue{byValue: byValue{"me"}},
		"promoted from interface":   &promotedInterface{doer: byValue{"me"}},
		"function":                  function(func() string { return "me" }),
		"map":                       mapping{"name": "me"},
		"slice":                     list{"me"},
		"string":                    text("me"),
		"channel":                   one,
		"generic":                   &generic[text]{"me"},
		"generic over a pointer":    &generic[fmt.Stringer]{reflect.ValueOf("me")},
	}
}

func TestAMethodIsCalledAlikeOnReceiversOfEveryKind(t *testing.T) {
	for name, v := range receivers() {
		t.Run(name, func(t *testing.T) {
			s := Receiver(v)
			if s.err != nil {
				t.Fatal(s.err)
			}
			m := s.Methods()[0]
			ctx := WithCall(t.Context(), &Call{Caller: "them"})
			got, err := m.Call(ctx, &ask{Text: "this"}, nil)
			if want := (seen{"me", "them", "this"}); err != nil || *got.(*seen) != want {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
			if got, err := m.Call(ctx, &ask{Text: "fail"}, &seen{}); !errors.Is(err, errAsked) || got.(*seen).Argument != "fail" {
				t.Errorf("%+v, %v, want the handler's error, and what it had filled by then", got, err)
			}
		})
	}
}

func TestAValueReceiverSeesItsOwnCopy(t *testing.T) {
	v := byValue{"me"}
	s := Receiver(v)
	v.name = "other"
	got, err := s.Methods()[0].Call(WithCall(t.Context(), &Call{}), &ask{}, nil)
	if err != nil || got.(*seen).Receiver != "me" {
		t.Errorf("%+v, %v", got, err)
	}
}

type growing struct{ depth int }

// Do grows its stack, so that it moves, and leaves garbage, so that the collector runs while the arguments are in use.
func (g *growing) Do(_ context.Context, args *ask, reply *seen) error {
	total := 0
	for _, n := range args.List {
		total += *n
	}
	reply.Receiver = fmt.Sprint(g.dig(g.depth) + total)
	reply.Argument = args.Text
	return nil
}

func (g *growing) dig(n int) int {
	var frame [64]int
	if n == 0 {
		runtime.GC()
		return frame[0]
	}
	return g.dig(n-1) + frame[n%64]
}

func TestArgumentsSurviveACollectionAndAMovedStack(t *testing.T) {
	m := Receiver(&growing{depth: 200}).Methods()[0]
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 20 {
				one, word := 1, strings.Repeat("x", i)
				args := &ask{Text: word, List: []*int{&one, &one, &worker}}
				got, err := m.Call(context.Background(), args, nil)
				if want := fmt.Sprint(2 + worker); err != nil || got.(*seen).Receiver != want || got.(*seen).Argument != word {
					t.Errorf("%+v, %v, want %s", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

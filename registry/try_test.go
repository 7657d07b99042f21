package registry

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

type tried struct{}

type triedArgs struct {
	N int `json:"n"`
}

func (tried) Double(context.Context, *triedArgs, *triedArgs) error { return nil }
func (tried) Half(context.Context, *triedArgs, *triedArgs) error   { return nil }

func TestTryIsTheExampleOfItsMethodAlone(t *testing.T) {
	r := New()
	Plain(tried{}, In(r), As("tried"), Try("Double", triedArgs{N: 21}))
	e, _ := r.Lookup("tried")
	for i, want := range []string{`{"n":21}`, `{"n":0}`} {
		got, err := json.Marshal(e.Example(e.Methods[i]))
		if err != nil || string(got) != want {
			t.Errorf("example of %s is %s, %v; want %s", e.Methods[i].Name, got, err, want)
		}
		if e.Tried(e.Methods[i].Name) != (i == 0) {
			t.Errorf("Tried(%s) is wrong", e.Methods[i].Name)
		}
	}
}

func TestTryThatDoesNotFitIsAMistakeInTheProgram(t *testing.T) {
	for want, o := range map[string]Option{
		"no such method": Try("Triple", triedArgs{}),
		"want a *":       Try("Double", 21),
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("panicked with %q, want %q in it", text, want)
				}
			}()
			Plain(tried{}, In(New()), As("tried"), o)
		}()
	}
}

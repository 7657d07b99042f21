package registry

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

type order struct{ SKU string }

// fieldError is an error as those of generated validators.
type fieldError struct {
	field, reason string
	cause         error
}

func (e fieldError) Field() string  { return e.field }
func (e fieldError) Reason() string { return e.reason }
func (e fieldError) Cause() error   { return e.cause }
func (e fieldError) Error() string  { return "invalid " + e.field }

func (o *order) Validate() error {
	switch o.SKU {
	case "":
		return errors.New("sku: must not be empty")
	case "nested":
		return fieldError{"items[0]", "embedded message failed validation", fieldError{"sku", "must be short", nil}}
	case "coded":
		return code.Errorf(code.NotFound, "no such sku")
	case "panic":
		panic("no ink")
	}
	return nil
}

type shop struct{ ran int }

func (s *shop) Buy(_ context.Context, o, r *order) error {
	s.ran++
	if o.SKU != "bad reply" {
		r.SKU = o.SKU
	}
	return nil
}

func TestArgumentsAndRepliesThatValidateThemselvesAreValidated(t *testing.T) {
	s := &shop{}
	m := Receiver(s).Methods()[0]
	for sku, want := range map[string]struct {
		code code.Code
		text string
		ran  int
	}{
		"good":      {code.OK, "", 1},
		"":          {code.InvalidArgument, "sku: must not be empty", 0},
		"nested":    {code.InvalidArgument, "items[0].sku: must be short", 0},
		"bad reply": {code.Internal, "the reply is not valid: sku: must not be empty", 1},
	} {
		s.ran = 0
		_, err := m.Call(t.Context(), &order{sku}, nil)
		if code.Of(err) != want.code || err != nil && !strings.Contains(err.Error(), want.text) || s.ran != want.ran {
			t.Errorf("%q: %v, ran %d, want %v %s, ran %d", sku, err, s.ran, want.code, want.text, want.ran)
		}
	}
	if _, err := m.Call(t.Context(), &order{"panic"}, nil); !strings.Contains(err.Error(), "no ink") {
		t.Errorf("%v: want the panic", err)
	}
	if plain := Receiver(&adder{}).Methods()[0]; plain.check.args || plain.check.reply {
		t.Error("validates what has no Validate")
	}
}

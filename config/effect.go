package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Effect is what a change does to calls.
type Effect string

// The effects.
const (
	Wider   Effect = "wider"   // lets more calls through
	Tighter Effect = "tighter" // lets fewer calls through
	Neutral Effect = "neutral" // neither refuses nor fails a call
	Changed Effect = "changed" // may do either
)

// Sign returns the sign of the effect in lists: < for wider, > for tighter, a space otherwise.
func (e Effect) Sign() string {
	switch e {
	case Wider:
		return "<"
	case Tighter:
		return ">"
	default:
		return " "
	}
}

func (e Effect) opposite() Effect {
	switch e {
	case Wider:
		return Tighter
	case Tighter:
		return Wider
	default:
		return e
	}
}

// The tag effect says what a larger value of a field does. An absent tag is inherited, and at the top it is Changed.
const (
	moreIsWider     = "more"
	moreIsTighter   = "less"
	unsetIsMost     = ",none" // appended to one of these: an unset value is larger than any other
	neutralWhatever = "neutral"
)

// tags holds the struct tags of a field that decide on the class and the effect of its changes. Class and effect are inherited.
type tags struct {
	class  Class
	effect string
	enum   []string
}

// inside returns the tags of a field of a struct.
func (t tags) inside(f *field) tags {
	return tags{cmp.Or(f.class, t.class), cmp.Or(f.effect, t.effect), f.enum}
}

// of returns the effect of a change from old to next.
func (t tags) of(old, next reflect.Value) Effect {
	direction, unset := strings.CutSuffix(t.effect, unsetIsMost)
	e := t.unordered()
	switch n, ok := compareValues(old, next, t.enum, unset); {
	case direction != moreIsWider && direction != moreIsTighter || !ok:
	case n < 0:
		e = Wider
	case n > 0:
		e = Tighter
	}
	if direction == moreIsTighter {
		e = e.opposite()
	}
	return e
}

// unordered returns the effect of a change whose direction is not known.
func (t tags) unordered() Effect {
	if t.effect == neutralWhatever {
		return Neutral
	}
	return Changed
}

// compareValues returns a negative number if old is smaller than next: by number, by the order of an enum, or as a list whose
// texts next has or covers. ok is false if the values cannot be ordered.
func compareValues(old, next reflect.Value, enum []string, unsetIsMost bool) (n int, ok bool) {
	if unsetIsMost && isUnset(old) != isUnset(next) {
		return cmp.Compare(boolInt(isUnset(old)), boolInt(isUnset(next))), true
	}
	old, next = reflect.Indirect(old), reflect.Indirect(next)
	if !old.IsValid() || !next.IsValid() {
		return 0, false
	}
	if a, numeric := number(old); numeric {
		b, _ := number(next)
		return cmp.Compare(a, b), true
	}
	switch old.Kind() {
	case reflect.Bool:
		return cmp.Compare(boolInt(old.Bool()), boolInt(next.Bool())), true
	case reflect.String:
		i, j := slices.Index(enum, old.String()), slices.Index(enum, next.String())
		return cmp.Compare(i, j), i >= 0 && j >= 0
	case reflect.Slice:
		a, aok := texts(old)
		b, bok := texts(next)
		grown, shrunk := allCovered(b, a, coversText), allCovered(a, b, coversText)
		return boolInt(shrunk) - boolInt(grown), aok && bok && grown != shrunk
	}
	return 0, false
}

// coversText reports whether a name, a pattern or a network covers another one.
func coversText(wide, narrow string) bool {
	return wildcard.Covers(wide, narrow) || coversNetwork(wide, narrow)
}

func texts(v reflect.Value) (list []string, ok bool) {
	for i := range v.Len() {
		if v.Index(i).Kind() != reflect.String {
			return nil, false
		}
		list = append(list, v.Index(i).String())
	}
	return list, true
}

func isUnset(v reflect.Value) bool { return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

package wire

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/easymicro/easymicro/wire/code"
)

// The JSON of encoding/json, which stock peers have, but strict where leniency lets two readers of one payload see
// different values.
var (
	jsonStrict = json.JoinOptions(jsonv1.DefaultOptionsV1(),
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))

	// jsonFast leaves out the first of encoding/json's two passes, which only serves to leave the target untouched when
	// the syntax is wrong further on.
	jsonFast = json.JoinOptions(jsonStrict, jsonv1.ReportErrorsWithLegacySemantics(false))
)

var errEmpty = errors.New("it is empty")

func appendJSON(dst []byte, v any) ([]byte, error) {
	if err := jsonEncodable.check(v); err != nil {
		return dst, err
	}
	return appendWith(dst, func(w *sink) error { return json.MarshalWrite(w, v, jsonStrict) })
}

// decodeJSON decodes as encoding/json does, all of it, if the plan says so.
func decodeJSON(data []byte, v any, p *plan, more ...json.Options) error {
	if len(data) == 0 {
		return errEmpty
	}
	how := jsonFast
	if p.every {
		how = jsonStrict
	}
	err := json.Unmarshal(data, v, append(more[:len(more):len(more)], how)...)
	if err == nil {
		return nil
	}
	if unknown := unknownMember(err, data, p.root); unknown != nil {
		return unknown
	}
	return jsonProblem(err)
}

// jsonEvery reports whether a struct has tags that encoding/json overlooks, and that are errors in the fast way.
func jsonEvery(t reflect.Type) bool {
	return json.Unmarshal([]byte("{}"), reflect.New(t).Interface(), jsonFast) != nil
}

// jsonProblem says where and of which kind an error is. The texts of the library are not passed on, since they quote
// values.
func jsonProblem(err error) error {
	syn, sem, old := new(jsontext.SyntacticError), new(json.SemanticError), new(jsonv1.UnmarshalTypeError)
	switch {
	case errors.As(err, &syn):
		return fmt.Errorf("%s at byte %d%s", jsonSyntax(syn), syn.ByteOffset, at(syn.JSONPointer))
	case errors.As(err, &sem):
		place := fmt.Sprintf(" at byte %d%s", sem.ByteOffset, at(sem.JSONPointer))
		if sem.GoType == nil {
			return fmt.Errorf("the %s%s does not fit", kindName(sem.JSONKind), place)
		}
		return &typeError{what: unfit(sem.JSONKind, sem.GoType, sem.Err, place), goType: sem.GoType}
	case errors.As(err, &old):
		return &typeError{what: unfitOld(old), goType: old.Type}
	}
	return errors.New("it does not fit")
}

// typeError reports a JSON value that does not fit the Go type it is decoded into.
type typeError struct {
	what   string // in words of JSON
	goType reflect.Type
}

func (e *typeError) Error() string { return e.what }

// unfit says what is wanted in the place of a value.
func unfit(got jsontext.Kind, t reflect.Type, cause error, place string) string {
	wanted, name := wantedFor(t), kindName(got)
	switch {
	case wanted == "" || wanted == "an object" && got == '{':
		return "the " + name + place + " does not fit"
	case wanted == aWhole && got == '0' && cause != nil:
		return wanted + rangeOf(t) + " is wanted, got another number" + place
	case wanted == withArticle(name) && cause != nil:
		return wanted + " of another kind is wanted" + place
	case wanted == withArticle(name) || wanted == aWhole && got == '0': // as a tag of the field says
		return wanted + " in a string is wanted, got " + withArticle(name) + place
	}
	return wanted + " is wanted, got " + withArticle(name) + place
}

// unfitOld is unfit for an error in the form of encoding/json, which has the kind of the value in words.
func unfitOld(err *jsonv1.UnmarshalTypeError) string {
	got, number, _ := strings.Cut(err.Value, " ")
	kinds := map[string]jsontext.Kind{"null": 'n', "bool": 't', "string": '"', "number": '0', "object": '{', "array": '['}
	var cause error
	if number != "" {
		cause = strconv.ErrRange // it has the number, of which nothing is to be repeated
	}
	path := jsontext.Pointer("/" + strings.ReplaceAll(err.Field, ".", "/"))
	return unfit(kinds[got], err.Type, cause, fmt.Sprintf(" before byte %d%s", err.Offset, at(path)))
}

const aWhole = "a whole number"

var (
	timeType        = reflect.TypeFor[time.Time]()
	jsonUnmarshaler = reflect.TypeFor[interface{ UnmarshalJSON([]byte) error }]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// wantedFor is what a type takes, in words of JSON; "" for one that decides for itself.
func wantedFor(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t == timeType:
		return "a time like \"2026-12-31T00:00:00Z\""
	case pointer.Implements(jsonUnmarshaler):
		return ""
	case pointer.Implements(textUnmarshaler):
		return "a string of a certain form"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.Array:
		return "an array of " + strconv.Itoa(t.Len())
	}
	if isWhole(t) {
		return aWhole
	}
	return ""
}

func isWhole(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr }

// rangeOf is what a type of whole numbers holds.
func rangeOf(t reflect.Type) string {
	if t.Kind() >= reflect.Uint {
		return " from 0 to " + strconv.FormatUint(math.MaxUint64>>(64-t.Bits()), 10)
	}
	largest := int64(math.MaxInt64) >> (64 - t.Bits())
	return fmt.Sprintf(" from %d to %d", -largest-1, largest)
}

func withArticle(name string) string {
	if name == "object" || name == "array" {
		return "an " + name
	}
	if name == "null" {
		return name
	}
	return "a " + name
}

func jsonSyntax(err *jsontext.SyntacticError) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "duplicate name"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected end"
	}
	return "invalid syntax"
}

func at(p jsontext.Pointer) string {
	if p == "" {
		return ""
	}
	return " (in " + strconv.Quote(code.Clip(string(p), 64)) + ")"
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{', '}':
		return "object"
	case '[', ']':
		return "array"
	}
	return "value"
}

// jsonMember is a member of the objects of a struct.
type jsonMember struct {
	name   string
	typ    reflect.Type
	index  []int // of the field
	boxed  int   // what embedded pointers on the way to it lead to
	tagged bool
	twice  bool // there are others, so that none counts
}

// jsonMembers gives the members of a struct and of those embedded in it, in the order of the fields, and the type of the
// field that takes all others, if there is one. Of several members with one name the least deep counts, and the one with
// a tag; otherwise none.
func jsonMembers(t reflect.Type) (members []jsonMember, rest reflect.Type) {
	type embedded struct {
		in    reflect.Type
		index []int
		boxed int
	}
	known, seen := map[string]*jsonMember{}, map[reflect.Type]bool{t: true}
	for queue := []embedded{{in: t}}; len(queue) > 0; queue = queue[1:] {
		for f := range queue[0].in.Fields() {
			tag := f.Tag.Get("json")
			name, options, _ := strings.Cut(tag, ",")
			name = strings.Trim(name, "'")
			index := slices.Concat(queue[0].index, f.Index)
			inner, embed := structBehind(f.Type), strings.Contains(options, "embed")
			switch {
			case tag == "-" || !f.IsExported() && (!f.Anonymous || inner == nil):
			case inner != nil && (embed || f.Anonymous && name == ""):
				if !seen[inner] {
					seen[inner] = true
					queue = append(queue, embedded{inner, index, queue[0].boxed + boxedBy(f.Type)})
				}
			case embed:
				rest = f.Type
			default:
				m := &jsonMember{cmp.Or(name, f.Name), f.Type, index, queue[0].boxed, name != "", false}
				switch old := known[m.name]; {
				case old == nil || len(old.index) == len(index) && m.tagged && !old.tagged:
					known[m.name] = m
				case len(old.index) == len(index) && m.tagged == old.tagged:
					old.twice = true
				}
			}
		}
	}
	for _, m := range known {
		if !m.twice {
			members = append(members, *m)
		}
	}
	slices.SortFunc(members, func(a, b jsonMember) int { return slices.Compare(a.index, b.index) })
	return members, rest
}

// jsonFields adds the members of a struct to its shape.
func jsonFields(s *shaper, r *shape, t reflect.Type) {
	members, rest := jsonMembers(t)
	r.folded, r.direct = map[string]string{}, map[string]int{}
	for _, m := range members {
		inner := s.of(m.typ)
		if inner.kind == asList && len(m.index) == 1 {
			r.direct[m.name] = m.index[0]
		}
		if m.boxed > 0 {
			inner = &shape{kind: asPointer, boxed: m.boxed, elem: inner}
		}
		r.members[m.name] = inner
		folded := foldedName([]byte(m.name))
		r.alike = r.alike || r.folded[folded] != ""
		r.folded[folded] = m.name
		r.names = append(r.names, m.name)
	}
	if rest != nil {
		if r.rest = s.of(rest); r.rest.kind == asDict {
			r.rest = r.rest.elem
		}
	}
}

// boxedBy is what an embedded pointer leads to, which is made with the first member that it has.
func boxedBy(t reflect.Type) int {
	if t.Kind() == reflect.Pointer {
		return rounded(int(t.Elem().Size()))
	}
	return 0
}

// foldedName is the same for names that differ in case only.
func foldedName(name []byte) string {
	folded := make([]byte, 0, 32)
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			folded = append(folded, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(name[i:])
		folded = utf8.AppendRune(folded, foldedRune(r))
		i += n
	}
	return string(folded)
}

// foldedRune is the smallest of the runes that are the same without regard to case.
func foldedRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

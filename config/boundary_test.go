package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// saysZero is how the doc of a field says what 0 means.
var saysZero = regexp.MustCompile(`\b0(s|B|%)?(:|;| when| and)`)

// A limit of 0 is 0, refused, or documented to be something else; a negative one is refused.
func TestZeroIsDocumentedOrRefused(t *testing.T) {
	d := newDecoder("", nil)
	seen := map[reflect.Type]bool{}
	count := 0
	var walk func(around string, t reflect.Type)
	look := func(path string, f *field) {
		typ := f.typ
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		var zero []string
		switch v := reflect.New(typ).Elem(); {
		case typ == durationType:
			zero = []string{"0s", "0"}
		case typ == bytesType:
			zero = []string{"0B", "0"}
		case typ == shareType:
			zero = []string{"0", "0%"}
		case v.CanInt(), v.CanUint(), v.CanFloat():
			zero = []string{"0", "0.0"}
		case typ.Kind() == reflect.Struct && !isScalar(typ):
			walk(path, typ)
			return
		default:
			return
		}
		count++
		for _, text := range zero {
			switch p := d.suggest.told(text, f.typ, f); {
			case p != nil && p.Message == "":
				t.Errorf("%s: %s is refused without a word", path, text)
			case p == nil && !saysZero.MatchString(f.doc):
				t.Errorf("%s: %s is taken, and nothing says what it means: %s", path, text, f.doc)
			}
			if p := d.suggest.told("-"+strings.Replace(text, "0", "1", 1), f.typ, f); p == nil || p.Message == "" {
				t.Errorf("%s: -%s is taken", path, text)
			}
		}
	}
	walk = func(around string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		for _, f := range d.types.of(typ).fields {
			look(join(around, f.name), f)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Manifest](), reflect.TypeFor[PolicyFile](), reflect.TypeFor[Token](), reflect.TypeFor[EndpointsFile](),
	} {
		walk("", typ)
	}
	if count < 50 {
		t.Errorf("%d fields with a number were found", count)
	}
}

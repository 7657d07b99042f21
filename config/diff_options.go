package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// options compares options of a handler by key.
func (d *differ) options(path string, old, next RawOptions, class Class) {
	a, _ := old.plain().(map[string]any)
	b, _ := next.plain().(map[string]any)
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for _, key := range sortedKeys(va, vb) {
		x, y := a[key.String()], b[key.String()]
		if reflect.DeepEqual(x, y) {
			continue
		}
		d.changed(join(path, key.String()), harmless(key.String(), x), harmless(key.String(), y), class)
	}
}

// secretWords are parts of the names of options whose value is never shown, be it a number.
var secretWords = []string{"pass", "pin", "secret", "token", "key", "auth", "cred", "code", "salt", "seed"}

// harmless shows what cannot be a secret: truth values, and numbers and durations unless the name says otherwise.
func harmless(name string, v any) string {
	isSecret := func(word string) bool { return strings.Contains(strings.ToLower(name), word) }
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return fmt.Sprint(v)
	case int64, float64:
		if !slices.ContainsFunc(secretWords, isSecret) {
			return fmt.Sprint(v)
		}
	case string:
		if d, err := time.ParseDuration(v); err == nil && !slices.ContainsFunc(secretWords, isSecret) {
			return Duration(d).String()
		}
	}
	return "…"
}

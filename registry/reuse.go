package registry

import (
	"reflect"
	"sync"
)

// Reuse declares that the named methods, or all if none is named, keep nothing of their argument and reply when they have
// returned, so that later calls may get the same memory. That saves two allocations a call. A method of this kind
//
//	func (c *Cache) Put(ctx context.Context, args *Entry, reply *Ack) error {
//		c.last = args // a mistake: a later call overwrites *args
//		go c.log(args) // a mistake, too
//		c.text = args.Text // correct: what a field points to is never used again
//		return nil
//	}
//
// passes its tests and fails in production, as it shows the data of one caller to another. A program that is built with the
// race detector therefore never uses a value again: it overwrites the value once the call is over, so that the detector
// reports a goroutine that still uses it, and the text "used after its call" and the number -559038737 show up where it was
// kept.
//
// What a call that failed or timed out has used is not used again, nor is what a function served by Unary returns.
func Reuse(methods ...string) Option {
	return func(r *registration) {
		r.entry.reuse = append(r.entry.reuse, methods...)
		r.entry.reuseAll = r.entry.reuseAll || len(methods) == 0
	}
}

// values makes the arguments or the replies of a method.
type values struct {
	make   func() any // returns a pointer to a zero value
	reused bool
	free   sync.Pool
}

func (v *values) get() any {
	if v.reused {
		if p := v.free.Get(); p != nil {
			return p
		}
	}
	return v.make()
}

// put takes back a value that nobody refers to.
func (v *values) put(p any) {
	switch {
	case !v.reused || p == nil:
	case raceEnabled:
		spoil(reflect.ValueOf(p).Elem())
	default:
		reflect.ValueOf(p).Elem().SetZero()
		v.free.Put(p)
	}
}

// spoil overwrites a value with what a reader notices.
func spoil(v reflect.Value) {
	spoiled := reflect.New(v.Type()).Elem()
	fill(spoiled)
	v.Set(spoiled)
}

const (
	spoiledText   = "used after its call"
	spoiledNumber = -559038737
)

// fill sets the texts and numbers of a zero value.
func fill(v reflect.Value) {
	if !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(spoiledText)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(spoiledNumber)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(spoiledNumber)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(spoiledText))
		}
	default:
	}
}

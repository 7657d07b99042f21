package host

import (
	"errors"
	"reflect"

	"github.com/easymicro/easymicro/config"
)

// recipe is what something of the manifest is made of: it is replaced when this changes.
type recipe[C any] struct {
	config C
	files  string // fingerprint of those that config names
}

// renewable is what generations share until what it was made of changes.
type renewable[C any] interface {
	comparable
	madeOf() recipe[C]
}

// renew returns the running one if nothing changed, and otherwise one that open makes. When the only error is
// that a certificate and its key do not match, the running one stays, with a warning: such files are replaced one by one.
// The zero T is none.
func renew[T renewable[C], C any](g *generation, running T, next recipe[C], open func() (T, error)) (now T, opened bool, err error) {
	var none T
	if running != none && reflect.DeepEqual(running.madeOf(), next) {
		return running, false, nil
	}
	now, err = open()
	switch {
	case err == nil:
		return now, true, nil
	case running != none && errors.As(err, new(*mismatchError)) && reflect.DeepEqual(running.madeOf().config, next.config):
		g.keepsOld(err)
		return running, false, nil
	}
	return none, false, err
}

// keepsOld makes warnings of an error.
func (g *generation) keepsOld(err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		problems = config.Problems{{Message: err.Error()}}
	}
	for _, p := range problems {
		p.Warning = true
		p.Message += ": what was in the files before stays in use"
		g.warnings = append(g.warnings, p)
	}
}

package registry

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime"
	"strings"
)

var (
	handlerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	// A method's name takes no dot: Arith.Mul would have two readings.
	methodName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

func checkName(name string) error {
	if !handlerName.MatchString(name) {
		return errors.New("a name is 1 to 64 of A-Z a-z 0-9 . _ -")
	}
	return nil
}

func checkMethodName(name string) error {
	if !methodName.MatchString(name) {
		return fmt.Errorf("method %q: a name is 1 to 64 of A-Z a-z 0-9 _ -", name)
	}
	return nil
}

// place is where in a program a handler was registered.
type place struct {
	pkg  string
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s (%s:%d)", p.pkg, p.file, p.line) }

// callerPlace is the place that called the caller's skip-th caller.
func callerPlace(skip int) place {
	pcs := make([]uintptr, 1)
	runtime.Callers(skip+2, pcs)
	frame, _ := runtime.CallersFrames(pcs).Next()
	return place{pkg: packageOf(frame.Function), file: path.Base(frame.File), line: frame.Line}
}

// packageOf cuts github.com/x/orders.init.0 down to the package. Dots in the last element of a path are escaped.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	pkg, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + strings.ReplaceAll(pkg, "%2e", ".")
}

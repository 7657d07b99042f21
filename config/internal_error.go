package config

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// InternalError is a panic that was met while an edit was checked or made ready.
type InternalError struct {
	Where string // such as "in rule arith-mul (10-orders.yaml:4)"
	Value string // of the panic
	Stack string
}

// Error returns where it happened, and whose fault it is.
func (e *InternalError) Error() string {
	return "internal error " + e.Where + ": " + e.Value + "; this is a bug of easymicro"
}

// Contain calls f, and returns an *InternalError if it panics. where is called then.
func Contain(where func() string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			value, stack, _ := strings.Cut(fmt.Sprint(p), "\n") // a panic of another goroutine has its stack with it
			err = &InternalError{where(), value, stack + string(debug.Stack())}
		}
	}()
	return f()
}

// InRule returns a rule as the place of an internal error.
func InRule(r *Rule) string {
	where := "in rule " + r.Name
	if at := r.Position(""); !at.IsZero() {
		where += " (" + at.String() + ")"
	}
	return where
}

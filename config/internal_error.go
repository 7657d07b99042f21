package config

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// InternalError is the error of a panic while an edit was read, checked or compiled.
type InternalError struct {
	Where string // such as "in rule arith-mul (10-orders.yaml:4)"
	Value string // of the panic
	Stack string
}

// Error says where it happened, and that it is a bug.
func (e *InternalError) Error() string {
	return "internal error " + e.Where + ": " + e.Value + "; this is a bug of easymicro"
}

// Contain calls f, and returns an *InternalError if f panics. where is called then, and returns the place.
func Contain(where func() string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			value, stack, _ := strings.Cut(fmt.Sprint(p), "\n") // one that was passed on from another goroutine has its stack in the text
			err = &InternalError{where(), value, stack + string(debug.Stack())}
		}
	}()
	return f()
}

// InRule describes a rule as the place of an internal error.
func InRule(r *Rule) string {
	where := "in rule " + r.Name
	if at := r.Position(""); !at.IsZero() {
		where += " (" + at.String() + ")"
	}
	return where
}

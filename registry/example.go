package registry

import "reflect"

// Example is a value to encode as JSON that shows the shape of the method's argument.
func (m *Method) Example() any { return Example(m.Args) }

// Example is a value to encode as JSON that shows the shape of t, with the names that JSON has.
func Example(t reflect.Type) any { return reflect.New(t).Interface() }

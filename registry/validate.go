package registry

import (
	"errors"
	"reflect"

	"github.com/easymicro/easymicro/wire/code"
)

// validator is implemented by arguments and replies that check themselves, as generated ones of protobuf messages do.
type validator interface{ Validate() error }

var validatorType = reflect.TypeFor[validator]()

// validates reports whether a pointer to a t checks itself.
func validates(t reflect.Type) bool { return reflect.PointerTo(t).Implements(validatorType) }

// invalid returns what is wrong with an argument or a reply, with the path of the field if the error has one.
func invalid(v any) error {
	checked, ok := v.(validator)
	if !ok {
		return nil
	}
	err := checked.Validate()
	if err == nil || code.From(err).Code != code.Unknown {
		return err
	}
	return errors.New(fieldText(err))
}

// fieldText returns the text of an error, with the path of its field: items[0].sku: must not be empty.
func fieldText(err error) string {
	path := ""
	for {
		of, ok := err.(interface {
			Field() string
			Reason() string
		})
		if !ok {
			break
		}
		if path != "" && of.Field() != "" {
			path += "."
		}
		path += of.Field()
		cause, ok := err.(interface{ Cause() error })
		if !ok || cause.Cause() == nil {
			return path + ": " + of.Reason()
		}
		err = cause.Cause()
	}
	if path == "" {
		return err.Error()
	}
	return path + ": " + err.Error()
}

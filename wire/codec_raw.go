package wire

import "errors"

var errNotRaw = errors.New("the method takes or gives no raw bytes")

func appendRaw(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return append(dst, v...), nil
	case *[]byte:
		return append(dst, *v...), nil
	case string:
		return append(dst, v...), nil
	case *string:
		return append(dst, *v...), nil
	}
	return dst, errNotRaw
}

func decodeRaw(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = append((*v)[:0], data...)
		return nil
	case *string:
		*v = string(data)
		return nil
	}
	return errNotRaw
}

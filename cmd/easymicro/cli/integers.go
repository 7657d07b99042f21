package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// withIntegers decodes sound JSON without a type. Numbers without a fraction are integers, as they are for a caller that
// has the type: other codecs tell integers and floats apart.
func withIntegers(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return integersIn(v)
}

func integersIn(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		return numberOf(v.String())
	case []any:
		for i := range v {
			if v[i], err = integersIn(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = integersIn(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// numberOf is an integer of 64 bits for what is written without a fraction, also with an exponent: 1e3 is 1000.
func numberOf(text string) (any, error) {
	if strings.Contains(text, ".") {
		return strconv.ParseFloat(text, 64)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(text, "eE") {
		return nil, fmt.Errorf("%s is no integer of 64 bits: write %s.0 to send it as a float", text, text)
	}
	if whole, accuracy := big.NewFloat(f).Int(nil); accuracy == big.Exact {
		switch {
		case whole.IsInt64():
			return whole.Int64(), nil
		case whole.IsUint64():
			return whole.Uint64(), nil
		}
	}
	return f, nil
}

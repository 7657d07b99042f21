package bearer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxClaimBytes bounds the value of a claim, as the name of a caller.
const maxClaimBytes = 255

// claimsOf returns the values of claims in the JSON of a token, by the names that rules use; named has the claim for each name. A
// claim that is missing, null, empty or an empty list has none.
func claimsOf(token []byte, named map[string]string) (map[string]string, error) {
	if len(named) == 0 {
		return nil, nil //nolint:nilnil // no claims
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(token, &all); err != nil {
		return nil, errors.New("the claims of the token are invalid")
	}
	values := make(map[string]string, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		text, err := claimText(all[named[name]])
		switch {
		case err != nil:
			return nil, fmt.Errorf("the claim %s of the token %w", named[name], err)
		case len(text) > maxClaimBytes:
			return nil, fmt.Errorf("the claim %s of the token is longer than %d bytes", named[name], maxClaimBytes)
		case text != "":
			values[name] = text
		}
	}
	return values, nil
}

var errNotText = errors.New("must be a string, a number, a boolean or a list of these")

// claimText returns the text of a value, by which rules match it: a string as it is, a number or a boolean as its JSON text, a list of
// one of these as that one, and a longer one as its JSON text without blanks.
func claimText(value jsontext.Value) (string, error) {
	if len(value) == 0 || value.Kind() == jsontext.KindNull {
		return "", nil
	}
	if value.Kind() != jsontext.KindBeginArray {
		return scalarText(value)
	}
	var list []jsontext.Value
	if err := json.Unmarshal(value, &list); err != nil {
		return "", errNotText
	}
	if len(list) == 1 {
		return scalarText(list[0])
	}
	texts := make([]string, len(list))
	for i, element := range list {
		text, err := scalarText(element)
		if err != nil {
			return "", err
		}
		if element.Kind() == jsontext.KindString { // escaped in one way only, so that patterns match it
			quoted, err := json.Marshal(text)
			if err != nil {
				return "", errNotText
			}
			text = string(quoted)
		}
		texts[i] = text
	}
	if len(texts) == 0 {
		return "", nil
	}
	return "[" + strings.Join(texts, ",") + "]", nil
}

func scalarText(value jsontext.Value) (text string, err error) {
	switch value.Kind() {
	case jsontext.KindString:
		if json.Unmarshal(value, &text) != nil {
			return "", errNotText
		}
		return text, nil
	case jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		return string(value), nil
	default:
		return "", errNotText
	}
}

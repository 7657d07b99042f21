package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ratePair returns our key, and our key with its value, for a key of another system's rate limit.
func ratePair(word string, value *yaml.Node) (ours, pair string) {
	tag := value.ShortTag()
	isNumber := value.Kind == yaml.ScalarNode && (tag == "!!int" || tag == "!!float")
	if unit := durationUnits[strings.TrimPrefix(word, "per")]; unit != "" && isNumber && len(word) > 2 {
		return "rate", "rate: " + value.Value + ", per: 1" + unit
	}
	switch {
	case (word == "day" || word == "perday") && isNumber:
		return "rate", "rate: " + value.Value + ", per: 24h"
	case word == "clientmaxrate" && isNumber:
		return "rate", "rate: " + value.Value + ", key: caller"
	case word == "sourcecriterion" && value.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(value.Content); i += 2 {
			switch name := value.Content[i+1].Value; fold(value.Content[i].Value) {
			case "ipstrategy":
				return "key", "key: peer"
			case "requestheadername":
				return "key", "key: metadata." + strings.ToLower(name)
			}
		}
	}
	return "", ""
}

// breakerPair is ratePair for circuit breakers.
func breakerPair(word string, value *yaml.Node) (ours, pair string) {
	switch {
	case word == "trip" || word == "expression" || word == "readytotrip":
		if m := inARow.FindStringSubmatch(value.Value); m != nil {
			n, _ := strconv.Atoi(m[2])
			if m[1] == ">" {
				n++
			}
			return "consecutiveFailures", fmt.Sprintf("consecutiveFailures: %d", max(n, 1))
		}
		if m := ofAll.FindStringSubmatch(value.Value); m != nil {
			return "failureRate", "failureRate: " + m[1]
		}
	case word == "threshold" && isWhole.MatchString(value.Value):
		return "consecutiveFailures", "consecutiveFailures: " + value.Value
	}
	return "", ""
}

// blockKeys are the keys that a lone number or word is probably for.
var blockKeys = map[reflect.Type]struct{ number, word string }{
	reflect.TypeFor[RateLimit]():      {number: "rate"},
	reflect.TypeFor[Concurrency]():    {number: "max"},
	reflect.TypeFor[CircuitBreaker](): {number: "consecutiveFailures"},
	reflect.TypeFor[AccessEntry]():    {word: "caller"},
	reflect.TypeFor[Match]():          {word: "service"},
	reflect.TypeFor[Exceptions]():     {word: "caller"},
	reflect.TypeFor[Exception]():      {word: "caller"},
	reflect.TypeFor[Compression]():    {word: "type"},
	aroundType:                        {word: "name"},
}

// blockOf returns the scalar n as the block that was probably meant, or "".
func blockOf(n *yaml.Node, t reflect.Type) string {
	isNumber := n.ShortTag() == "!!int" || n.ShortTag() == "!!float"
	keys := blockKeys[t]
	switch {
	case isNumber && (n.Value == "0" || strings.HasPrefix(n.Value, "-")):
		return "" // invalid there too
	case t == reflect.TypeFor[Access]():
		return accessOf(n.Value, isNumber)
	case t == reflect.TypeFor[CircuitBreaker]() && (strings.HasSuffix(n.Value, "%") || strings.HasPrefix(n.Value, "0.")):
		return "{failureRate: " + n.Value + "}"
	case t == reflect.TypeFor[RateLimit]() && !isNumber:
		if number, per, ok := ratePer(n.Value); ok {
			return "{rate: " + number + ", per: " + per + "}"
		}
	case t == reflect.TypeFor[Retry]() && isWhole.MatchString(n.Value):
		retries, _ := strconv.Atoi(n.Value)
		return fmt.Sprintf("{maxAttempts: %d}", retries+1) // the first attempt is not a retry
	case n.ShortTag() == "!!float" && t != reflect.TypeFor[RateLimit]():
		return ""
	case isNumber && keys.number != "":
		return "{" + keys.number + ": " + n.Value + "}"
	case !isNumber && keys.word != "":
		return "{" + keys.word + ": " + plainOrQuoted(n.Value) + "}"
	}
	return ""
}

// accessOf returns the access lists for allow, deny or the name of a caller.
func accessOf(word string, isNumber bool) string {
	switch strings.ToLower(word) {
	case "deny", "none", "denyall", "deny-all", "false":
		return `{deny: [{caller: "*"}]}`
	case "allow", "all", "any", "allowall", "allow-all", "true", "*":
		return `{allow: [{caller: "*"}]}`
	}
	if isNumber {
		return ""
	}
	return "{allow: [{caller: " + plainOrQuoted(word) + "}]}"
}

var (
	inARow  = regexp.MustCompile(`(?i)consecutive_?(?:failures|errors)\s*(>=?)\s*([0-9]{1,8})$`)
	ofAll   = regexp.MustCompile(`(?i)(?:Network|Response|Failure|Error)[A-Za-z]*Ratio(?:\([^)]*\))?\s*>=?\s*(0?\.[0-9]{1,4}|[0-9]{1,2}%)$`)
	isWhole = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
)

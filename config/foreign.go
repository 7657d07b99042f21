package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/wire/code"
)

// foreignPair is what a key of another system says, where our key has another value: minute: 100 is rate: 100, per: 1m.
// ours is our key.
func (d *decoder) foreignPair(t reflect.Type, key, value *yaml.Node) (ours, pair string) {
	word := fold(key.Value)
	switch {
	case d.quiet || d.expanded[value] != "":
	case t == reflect.TypeFor[RateLimit]():
		return ratePair(word, value)
	case t == reflect.TypeFor[CircuitBreaker]():
		return breakerPair(word, value)
	case t == reflect.TypeFor[Retry]() && slices.Contains([]string{"maxretries", "retries", "numretries", "maxretry", "retrycount"}, word):
		if n, err := strconv.Atoi(value.Value); err == nil && n > 0 && n < 100 {
			return "maxAttempts", fmt.Sprintf("maxAttempts: %d", n+1) // the first is none of them
		}
	case t == reflect.TypeFor[Retry]() && word == "maxtokens":
		return "budget", "budget: 20%" // tokens of a throttle are no share: the default
	}
	return "", ""
}

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

var (
	inARow  = regexp.MustCompile(`(?i)consecutive_?(?:failures|errors)\s*(>=?)\s*([0-9]{1,8})$`)
	ofAll   = regexp.MustCompile(`(?i)(?:Network|Response|Failure|Error)[A-Za-z]*Ratio(?:\([^)]*\))?\s*>=?\s*(0?\.[0-9]{1,4}|[0-9]{1,2}%)$`)
	isWhole = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
)

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

// foreignValue is our word for that of another system, or "".
func foreignValue(f *field, text string) string {
	word := fold(text)
	switch {
	case f.pattern == "key":
		for _, prefix := range []string{"header:", "header.", "http.header.", "metadata:"} {
			if name, ok := strings.CutPrefix(strings.ToLower(text), prefix); ok && name != "" {
				return "metadata." + name
			}
		}
		return foreignKeys[word]
	case len(f.enum) == 0:
		return ""
	}
	for ours := range strings.FieldsSeq(foreignWords[word]) {
		if slices.Contains(f.enum, ours) && !slices.Contains(f.laterEnum, ours) {
			return ours
		}
	}
	return ""
}

// foreignKeys are what one bucket is for, in the words of nginx, Kong, KrakenD, Envoy and Traefik.
var foreignKeys = map[string]string{
	"ip": "peer", "clientip": "peer", "sourceip": "peer", "remoteaddr": "peer", "remoteaddress": "peer", "$binaryremoteaddr": "peer",
	"address": "peer", "binaryremoteaddr": "peer", "$remoteaddr": "peer", "addr": "peer", "host": "peer",
	"user": "caller", "client": "caller", "consumer": "caller", "principal": "caller", "credential": "caller", "identity": "caller",
	"token": "caller", "apikey": "caller", "username": "caller", "subject": "caller",
	"path": "method", "route": "method", "service": "method", "endpoint": "method", "uri": "method",
}

// foreignWords are our words for one of another system; those of the field that it stands in count.
var foreignWords = map[string]string{
	"dryrun": "shadow", "monitor": "shadow", "audit": "shadow", "log": "shadow", "permissive": "shadow", "test": "shadow", "report": "shadow",
	"on": "enforce", "true": "enforce", "enabled": "enforce", "block": "enforce reject", "active": "enforce", "strict": "enforce",
	"false": "off", "disabled": "off", "inactive": "off", "none": "off",
	"drop": "reject", "deny": "reject", "refuse": "reject", "fail": "reject", "nodelay": "reject",
	"queue": "wait", "delay": "wait", "throttle": "wait", "shape": "wait",
	"roundrobin": "roundRobin", "rr": "roundRobin", "leastconn": "leastRequest", "leastconnections": "leastRequest",
	"leastrequest": "leastRequest", "ewma": "p2c", "poweroftwo": "p2c", "powerof2choices": "p2c", "poweroftwochoices": "p2c",
	"ringhash": "consistentHash", "maglev": "consistentHash", "hash": "consistentHash", "wrr": "weightedRoundRobin",
	"weighted": "weightedRoundRobin", "endpoints": "endpoint", "instance": "endpoint", "host": "endpoint", "cluster": "upstream",
}

// foreignCode is the code, or the list of codes, that a status of HTTP, a number of gRPC or a word of Envoy stands for.
func foreignCode(text string) string {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < len(code.All()) {
		return code.Code(n).String()
	}
	return foreignCodes[fold(text)]
}

var foreignCodes = map[string]string{
	"400": "INVALID_ARGUMENT", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED", "404": "NOT_FOUND", "408": "DEADLINE_EXCEEDED",
	"409": "ABORTED", "412": "FAILED_PRECONDITION", "429": "RESOURCE_EXHAUSTED", "500": "INTERNAL", "501": "UNIMPLEMENTED",
	"502": "UNAVAILABLE", "503": "UNAVAILABLE", "504": "DEADLINE_EXCEEDED",
	"5xx": "[UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL]", "gatewayerror": "[UNAVAILABLE, DEADLINE_EXCEEDED]",
	"connectfailure": "UNAVAILABLE", "refusedstream": "UNAVAILABLE", "reset": "UNAVAILABLE", "resetbeforerequest": "UNAVAILABLE",
	"retriable4xx": "ABORTED", "timeout": "DEADLINE_EXCEEDED", "deadlineexceeded": "DEADLINE_EXCEEDED", "error": "INTERNAL",
	"resourceexhausted": "RESOURCE_EXHAUSTED", "ratelimited": "RESOURCE_EXHAUSTED", "envoyratelimited": "RESOURCE_EXHAUSTED",
	"networkerror": "UNAVAILABLE", "unavailable": "UNAVAILABLE", "internal": "INTERNAL", "unknown": "UNKNOWN",
}

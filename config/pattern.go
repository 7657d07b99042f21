package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/easymicro/easymicro/wire/code"
)

// patterns are the checks that the pattern tag names. Each returns the text in its normal form, or what is wrong.
var patterns = map[string]func(text string) (normal, message, suggestion string){
	"name":        matching(`^[A-Za-z0-9._-]{1,64}$`, "must be 1 to 64 letters, digits, dots, dashes and underscores"),
	"interceptor": matching(`^[A-Za-z0-9._-]{1,64}$`, "must be the name of an interceptor, such as acme.audit"),
	"handler":     matching(`^[A-Za-z0-9._/-]{1,128}$`, "must be the name of a handler, such as samples.arith"),
	"hostname":    matching(`^[A-Za-z0-9._-]{1,253}$`, "must be 1 to 253 letters, digits, dots, dashes and underscores"),
	"service":     matching(`^[^\s/*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without whitespace, / and *"),
	"method":      matching(`^[^\s/*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without whitespace, / and *"),
	"caller":      matching(`^[^\s*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without whitespace and *"),
	"path":        matching(`^/[^\s{}]*$`, "must begin with / and have no whitespace"),
	"key":         limitKey,
	"hashOn":      matching(`^(metadata|argument)\.[^\s]{1,128}$`, "must be metadata.NAME or argument.FIELD"),
	"glob":        glob,
	"cidr":        cidr,
	"ip":          ip,
	"proxy":       proxy,
	"sha256":      sha256Hex,
	"code":        codeName,
	"any":         func(text string) (string, string, string) { return text, "", "" }, // any scalar, as written

	"callerGlob": callerGlob,
	"claimGlob":  claimGlob,
	"claim":      matching(`^[^\x00-\x1f\x7f]{1,255}$`, "must be the name of a claim, of 1 to 255 characters"),
}

func matching(form, message string) func(string) (string, string, string) {
	re := regexp.MustCompile(form)
	return func(text string) (string, string, string) {
		switch {
		case re.MatchString(text):
			return text, "", ""
		case text == "":
			return text, "is empty: " + message, ""
		default:
			return text, fmt.Sprintf("%s, not %q", message, clip(text)), ""
		}
	}
}

var limitKey = matching(`^(caller|method|peer(/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?|metadata\.[^\s]{1,128}|identity\.`+claimName+`)$`,
	"must be caller, method, identity.NAME, metadata.NAME, peer or peer/N (N bits of an IPv6 address)")

// claimName is the form of the names that auth.jwt.claims gives to claims.
const claimName = `[A-Za-z][A-Za-z0-9_-]{0,63}`

// ClaimNameForm is a regular expression for the names that auth.jwt.claims gives to claims.
const ClaimNameForm = `^` + claimName + `$`

func glob(text string) (normal, message, suggestion string) {
	message, separator := noGlob(text)
	if separator != "" {
		suggestion = listFor(text, separator)
	}
	return text, message, suggestion
}

// noGlob returns why text is not a pattern, and what may separate several patterns in it.
func noGlob(text string) (message, separator string) {
	switch {
	case text == "":
		return "is empty, which matches nothing: leave the key out to match all", ""
	case len(text) > 255 || strings.ContainsAny(text, " \t\r\n/"):
		return fmt.Sprintf("must be at most 255 characters without whitespace and /, not %q", clip(text)), ""
	case strings.HasPrefix(text, "^") || strings.HasSuffix(text, "$") || strings.ContainsAny(text, "|()"):
		return fmt.Sprintf("%q is a regular expression: the only wildcard is *; write several patterns as a list", clip(text)), "|"
	case strings.HasPrefix(text, "!"):
		return fmt.Sprintf("%q: the only wildcard is *; exceptions go into match.except", clip(text)), ""
	case strings.ContainsAny(text, notInPatterns):
		return fmt.Sprintf("%q: the only wildcard is *; write several patterns as a list", clip(text)), ","
	}
	return "", ""
}

// callerGlob accepts names of all kinds, since names of callers are given by others. Bad patterns are found once the
// tokens are known.
func callerGlob(text string) (normal, message, suggestion string) {
	switch {
	case text == "":
		return text, "is empty, which matches nothing: leave the key out to match all", ""
	case len(text) > 255 || strings.ContainsAny(text, " \t\r\n"):
		return text, fmt.Sprintf("must be at most 255 characters without whitespace, not %q", clip(text)), ""
	}
	return text, "", ""
}

// claimGlob accepts values of all kinds, since the issuer of tokens chooses them.
func claimGlob(text string) (normal, message, suggestion string) {
	const form = "must be at most 255 characters without control characters, not %q"
	switch {
	case text == "":
		return text, "is empty, which matches nothing: * matches all callers with the claim", ""
	case len(text) > 255 || strings.ContainsFunc(text, unicode.IsControl):
		return text, fmt.Sprintf(form, clip(text)), ""
	case strings.HasPrefix(text, "!"):
		return text, fmt.Sprintf("%q: the only wildcard is *; exceptions go into match.except", clip(text)), ""
	case strings.ContainsAny(text, notInPatterns):
		return text, fmt.Sprintf("%q: the only wildcard is *; write several patterns as a list", clip(text)), listFor(text, ",")
	}
	return text, "", ""
}

// notInPatterns are the characters that are special in patterns of other systems.
const notInPatterns = "!,?{["

var braces = regexp.MustCompile(`^([^{}]*)\{([^{}]*)\}([^{}]*)$`)

// listFor returns the list of patterns that text means in other systems: a,b and {a,b}-x, or a|b; ?x becomes *x.
func listFor(text, separator string) string {
	head, tail := "", ""
	if m := braces.FindStringSubmatch(text); m != nil {
		head, text, tail = m[1], m[2], m[3]
	} else {
		text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$"), "("), ")")
	}
	var list []string
	for part := range strings.SplitSeq(text, separator) {
		part = head + strings.ReplaceAll(strings.TrimSpace(part), "?", "*") + tail
		if message, _ := noGlob(part); message != "" {
			return ""
		}
		list = append(list, asText(part))
	}
	if len(list) == 1 {
		return list[0]
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func ip(text string) (normal, message, suggestion string) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return text, fmt.Sprintf("must be an IP address, not %q", clip(text)), ""
	}
	return addr.Unmap().String(), "", ""
}

func cidr(text string) (normal, message, suggestion string) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()).String(), "", ""
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return text, fmt.Sprintf("must be a network like 10.0.0.0/8 or an address, not %q", clip(text)), ""
	}
	if masked := prefix.Masked(); masked != prefix {
		return text, fmt.Sprintf("%s has bits set after its prefix", text), masked.String()
	}
	return prefix.String(), "", ""
}

// proxy checks a network, or the word for peers without an address.
func proxy(text string) (normal, message, suggestion string) {
	if text == UnixPeers {
		return text, "", ""
	}
	normal, message, suggestion = cidr(text)
	if message != "" && suggestion == "" && strings.HasPrefix(strings.ToLower(text), UnixPeers) {
		suggestion = UnixPeers
	}
	return normal, message, suggestion
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// sha256Hex never repeats the text, which may be the secret itself.
func sha256Hex(text string) (normal, message, suggestion string) {
	normal = strings.ToLower(text)
	if !hex64.MatchString(normal) {
		return "", fmt.Sprintf("must be the SHA-256 of the token in 64 hexadecimal digits; this has %d characters", len(text)), ""
	}
	return normal, "", ""
}

func codeName(text string) (normal, message, suggestion string) {
	if c, ok := code.Parse(text); ok && c != code.OK {
		return c.String(), "", ""
	}
	var names []string
	for _, c := range code.All() {
		if c != code.OK && c != code.Cancelled { // cancelled calls never count as failures
			names = append(names, c.String())
		}
	}
	message = fmt.Sprintf("%q is not an error code", clip(text))
	if suggestion = foreignCode(text); suggestion == "" {
		suggestion = Suggest(text, names)
	}
	if suggestion == "" {
		message += "; known are " + strings.Join(names, ", ")
	}
	return text, message, suggestion
}

// foreignCode returns the code, or the list of codes, for an HTTP status, a gRPC number or a word of Envoy.
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

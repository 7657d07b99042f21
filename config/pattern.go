package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// patterns are the forms of text that the pattern tag names: each returns the text in its normal form, or what is
// wrong with it.
var patterns = map[string]func(text string) (normal, message, suggestion string){
	"name":     matching(`^[A-Za-z0-9._-]{1,64}$`, "must be 1 to 64 letters, digits, dots, dashes and underscores"),
	"handler":  matching(`^[A-Za-z0-9._/-]{1,128}$`, "must be the name of a handler, such as samples.arith"),
	"hostname": matching(`^[A-Za-z0-9._-]{1,253}$`, "must be 1 to 253 letters, digits, dots, dashes and underscores"),
	"service":  matching(`^[^\s/*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without blanks, / and *"),
	"method":   matching(`^[^\s/*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without blanks, / and *"),
	"caller":   matching(`^[^\s*\x00-\x1f]{1,255}$`, "must be 1 to 255 characters without blanks and *"),
	"path":     matching(`^/[^\s{}]*$`, "must begin with / and have no blanks"),
	"key":      matching(`^(caller|peer|metadata\.[^\s]{1,128})$`, "must be caller, peer or metadata.NAME"),
	"hashOn":   matching(`^(metadata|argument)\.[^\s]{1,128}$`, "must be metadata.NAME or argument.FIELD"),
	"glob":     glob,
	"cidr":     cidr,
	"sha256":   sha256Hex,
	"code":     codeName,
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

func glob(text string) (normal, message, suggestion string) {
	switch {
	case text == "":
		return text, "is empty, which matches nothing: leave the key out to match all", ""
	case len(text) > 255 || strings.ContainsAny(text, " \t\r\n/"):
		return text, fmt.Sprintf("must be at most 255 characters without blanks and /, not %q", clip(text)), ""
	case strings.HasPrefix(text, "^") || strings.HasSuffix(text, "$") || strings.ContainsAny(text, "|()"):
		return text, fmt.Sprintf("%q is a regular expression: here only * stands for any text; write several in a list", clip(text)), ""
	}
	return text, "", ""
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
		return text, fmt.Sprintf("%s has bits behind its prefix", text), masked.String()
	}
	return prefix.String(), "", ""
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// sha256Hex never repeats the text: it may be the secret itself, put in the wrong place.
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
		if c != code.OK && c != code.Cancelled { // what the caller cancelled is nobody's failure
			names = append(names, c.String())
		}
	}
	message = fmt.Sprintf("%q is no code of a failure", clip(text))
	if suggestion = Suggest(strings.ToUpper(text), names); suggestion == "" {
		message += "; those that count are " + strings.Join(names, ", ")
	}
	return text, message, suggestion
}

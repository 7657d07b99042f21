package policies

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// shownKey is how much is shown of one value of a key.
const shownKey = 64

// keySeed makes the marks of values that are not shown: the same value has the same mark while the process runs, and
// nobody can try out values against it.
var keySeed = maphash.MakeSeed()

// KeyText returns the key under which the rate limit of a rule counts a call of a method, for people:
// "caller=web, metadata.tenant=acme". It is empty for a rule without a key. Two keys have one text only if they are the
// same. Of a value that may be a secret, or is long, or is no text, a mark is shown that tells it from others.
func (s *Snapshot) KeyText(rule string, t Target, c *Call) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	if l := s.byName[rule].config.RateLimit; l != nil && len(l.Key) > 0 {
		return keyText(l.Key, t, c)
	}
	return ""
}

func keyText(parts []string, t Target, c *Call) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(part)
		b.WriteByte('=')
		b.WriteString(keyValue(part, t, c))
	}
	return b.String()
}

// noValue stands for what a call does not have.
const noValue = "(none)"

func keyValue(part string, t Target, c *Call) string {
	name, isMetadata := strings.CutPrefix(part, config.KeyMetadata)
	switch {
	case part == config.KeyCaller:
		return shownValue(c.Caller)
	case part == config.KeyMethod:
		return shownValue(t.String())
	case !isMetadata:
		return peerText(part, c.Peer)
	case c.Metadata == nil:
		return noValue
	}
	switch value := c.Metadata.Get(name); {
	case value == "":
		return noValue
	case secretName(name) || secretValue(value):
		return "(hidden " + valueMark(value) + ")"
	default:
		return shownValue(value)
	}
}

// peerText is the address or the network of IPv6 that counts as one peer, by a part like peer/56.
func peerText(part string, peer netip.Addr) string {
	if peer = peer.Unmap(); !peer.IsValid() {
		return noValue
	}
	if bits := networkOf(part); peer.Is6() && bits < peer.BitLen() {
		return netip.PrefixFrom(peer, bits).Masked().String()
	}
	return peer.String()
}

// shownValue is a value as it stands in a line of a log or a table.
func shownValue(value string) string {
	shown := code.Clip(value, shownKey)
	odd := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) || strings.ContainsRune(` ,"=()`, r)
	}
	if shown == "" || strings.ContainsFunc(shown, odd) {
		shown = strconv.Quote(shown)
	}
	if code.Clip(value, shownKey) != value {
		shown += " (" + valueMark(value) + ")"
	}
	return shown
}

func valueMark(value string) string {
	return "#" + strconv.FormatUint(maphash.String(keySeed, value), 16)
}

// secretName reports whether metadata of this name may hold what lets a caller in.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{
		"token", "secret", "passw", "authori", "oauth", "cookie", "credential", "session", "apikey", "jwt", "bearer", "signature",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		switch word {
		case "auth", "key", "pass", "pwd", "pin", "sid", "sig", "otp":
			return true
		}
	}
	return false
}

// secretValue reports whether a value looks like a credential, whatever its name: a scheme of Authorization, or a JWT.
func secretValue(value string) bool {
	scheme, rest, _ := strings.Cut(value, " ")
	switch strings.ToLower(scheme) {
	case "bearer", "basic", "digest", "negotiate":
		return rest != ""
	}
	return strings.HasPrefix(value, "eyJ") && strings.Count(value, ".") >= 2
}

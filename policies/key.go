package policies

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// limitKey selects what the calls of one bucket of a rate limit have in common. Without parts, all calls share a bucket.
type limitKey []keyPart

// keyPart is one part of a key: caller, peer, method, or the name of a claim or of metadata.
type keyPart struct {
	kind    keyKind
	network int    // of peer: the length of IPv6 prefixes that are one peer
	name    string // of the claim or of metadata
}

type keyKind int

const (
	keyCaller keyKind = iota
	keyPeer
	keyMethod
	keyMetadata
	keyClaim
)

// defaultNetwork is the length of the IPv6 prefix that one subscriber has: all of its addresses are one peer.
const defaultNetwork = 64

func newLimitKey(texts []string) limitKey {
	var key limitKey
	for _, text := range texts {
		name, isMetadata := strings.CutPrefix(text, config.KeyMetadata)
		claim, isClaim := strings.CutPrefix(text, config.KeyIdentity)
		switch {
		case isMetadata:
			key = append(key, keyPart{kind: keyMetadata, name: name})
		case isClaim:
			key = append(key, keyPart{kind: keyClaim, name: claim})
		case text == config.KeyCaller:
			key = append(key, keyPart{kind: keyCaller})
		case text == config.KeyMethod:
			key = append(key, keyPart{kind: keyMethod})
		default:
			key = append(key, keyPart{kind: keyPeer, network: networkOf(text)})
		}
	}
	return key
}

// networkOf returns the length of the IPv6 prefixes that count as one peer, of a part like peer/56.
func networkOf(part string) int {
	if _, length, ok := strings.Cut(part, "/"); ok {
		if n, err := strconv.Atoi(length); err == nil {
			return n
		}
	}
	return defaultNetwork
}

// appendTo appends the key of a call: nothing if the call lacks metadata or a claim of the key, or if there is one bucket for all. Each
// part includes its length, so that calls have the same key only if all parts are equal.
func (k limitKey) appendTo(key []byte, c *Call) []byte {
	begin := len(key)
	for i := range k {
		switch p := &k[i]; p.kind {
		case keyCaller:
			key = appendKeyText(key, c.Caller)
		case keyMethod:
			key = appendKeyText(appendKeyText(key, c.target.Service), c.target.Method)
		case keyPeer:
			key = appendPeer(key, c.Peer, p.network)
		case keyMetadata, keyClaim:
			text := p.value(c)
			if text == "" {
				return key[:begin]
			}
			key = appendKeyText(key, text)
		}
	}
	return key
}

// value returns the claim or the metadata of a call that the part names; "" if the call lacks it.
func (p *keyPart) value(c *Call) string {
	switch {
	case p.kind == keyClaim:
		return c.Claims[p.name]
	case c.Metadata != nil:
		return c.Metadata.Get(p.name)
	}
	return ""
}

// longKey is the maximum length of a text that is kept as it is. Longer ones are replaced by a cryptographic hash, so that peers cannot
// find a text that shares the bucket of another.
const longKey = 128

func appendKeyText(key []byte, text string) []byte {
	if len(text) <= longKey {
		return append(binary.AppendUvarint(key, uint64(len(text))), text...)
	}
	sum := sha256.Sum256([]byte(text))
	return append(binary.AppendUvarint(key, longKey+1), sum[:]...)
}

func appendPeer(key []byte, peer netip.Addr, network int) []byte {
	if peer.Is6() {
		if p, err := peer.Prefix(network); err == nil {
			peer = p.Addr()
		}
	}
	key = append(key, byte(peer.BitLen()/8)) // 0: no address
	return append(key, peer.AsSlice()...)
}

// byCaller reports whether the key of a call of a method depends on nothing but the caller and its claims.
func (k limitKey) byCaller() bool {
	return !slices.ContainsFunc(k, func(p keyPart) bool { return p.kind != keyCaller && p.kind != keyMethod && p.kind != keyClaim })
}

// has reports whether a part of the key is of a kind.
func (k limitKey) has(kind keyKind) bool {
	return slices.ContainsFunc(k, func(p keyPart) bool { return p.kind == kind })
}

// missing returns the metadata or the claim of the key that a call lacks.
func (k limitKey) missing(c *Call) string {
	for i := range k {
		switch p := &k[i]; {
		case p.kind == keyMetadata && p.value(c) == "":
			return "metadata " + p.name
		case p.kind == keyClaim && p.value(c) == "":
			return config.KeyIdentity + p.name
		}
	}
	return ""
}

// shownKey bounds the bytes shown of one value of a key.
const shownKey = 64

// keySeed makes the marks of hidden values: a value keeps its mark while the process runs, and values cannot be guessed from
// marks.
var keySeed = maphash.MakeSeed()

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

// noValue is shown for a value that a call lacks.
const noValue = "(none)"

func keyValue(part string, t Target, c *Call) string {
	name, isMetadata := strings.CutPrefix(part, config.KeyMetadata)
	claim, isClaim := strings.CutPrefix(part, config.KeyIdentity)
	switch {
	case part == config.KeyCaller:
		return shownValue(c.Caller)
	case isClaim && c.Claims[claim] == "":
		return noValue
	case isClaim:
		return shownValue(c.Claims[claim])
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

// peerText returns the address, or the IPv6 network that counts as one peer, of a part like peer/56.
func peerText(part string, peer netip.Addr) string {
	if peer = peer.Unmap(); !peer.IsValid() {
		return noValue
	}
	if bits := networkOf(part); peer.Is6() && bits < peer.BitLen() {
		return netip.PrefixFrom(peer, bits).Masked().String()
	}
	return peer.String()
}

// shownValue returns a value as logs and tables show it: shortened, and quoted if it is not plain.
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

// secretName reports whether metadata of this name may contain a credential.
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

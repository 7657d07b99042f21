package config

import (
	"fmt"
	"slices"
	"time"
)

// ExpiresSoon is how long before its end it is said that a rule or a token expires.
const ExpiresSoon = 7 * 24 * time.Hour

// Expiry is the end of a rule or a token that has one.
type Expiry struct {
	Rule     string // its name; empty for a token
	Caller   string // of a token
	Kinds    []Kind // of a rule
	Mode     Mode
	At       time.Time
	Position Position
}

// Expiries returns the ends of rules that are not off and of tokens, the soonest first.
func (s *Set) Expiries() []Expiry {
	var list []Expiry
	for i := range s.Rules {
		if r := &s.Rules[i]; !r.Expires.IsZero() && r.Mode != Off {
			list = append(list, r.expiry())
		}
	}
	for i := range s.Tokens {
		if t := &s.Tokens[i]; !t.Expires.IsZero() {
			list = append(list, t.expiry())
		}
	}
	slices.SortStableFunc(list, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return list
}

func (r *Rule) expiry() Expiry {
	mode := r.Mode
	if mode == "" {
		mode = Enforce
	}
	return Expiry{Rule: r.Name, Kinds: r.Kinds(), Mode: mode, At: r.Expires, Position: r.Position("expires")}
}

func (t *Token) expiry() Expiry {
	return Expiry{Caller: t.Caller, At: t.Expires, Position: t.position}
}

// Opens reports whether calls get through by the end that were refused before it.
func (e Expiry) Opens() bool {
	return e.Mode == Enforce && slices.ContainsFunc(e.Kinds, func(k Kind) bool {
		return k == KindAccess || k == KindRateLimit || k == KindConcurrency || k == KindShed
	})
}

// Effect says what the end means for calls.
func (e Expiry) Effect() string {
	switch {
	case e.Rule == "":
		return "its caller is refused"
	case e.Opens():
		return "calls that it refused get through"
	}
	return "it takes no part"
}

// soon is a warning that a rule or a token has not long to go.
func (e Expiry) soon(now time.Time) (message string, ok bool) {
	left := e.At.Sub(now)
	if left <= 0 || left > ExpiresSoon {
		return "", false
	}
	return fmt.Sprintf("expires on %s, within 7 days: then %s", e.At.Format(time.RFC3339), e.Effect()), true
}

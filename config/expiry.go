package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

const (
	day             = 24 * time.Hour
	expiresSoon     = 7 * day
	certificateSoon = 14 * day // it takes people to renew one
)

// Expiry is the expiry of a rule, a token or a certificate.
type Expiry struct {
	Rule        string // name of the rule; empty for others
	Caller      string // caller of the token
	Operator    string // name of the admin token
	Certificate string // file of the certificate, as written
	Kinds       []Kind // kinds of the rule
	Mode        Mode
	At          time.Time
	Position    Position
}

// SoonFrom returns when warnings begin that the expiry is near.
func (e Expiry) SoonFrom() time.Time {
	if e.Certificate != "" {
		return e.At.Add(-certificateSoon)
	}
	return e.At.Add(-expiresSoon)
}

// Opens reports whether calls that were refused get through after the expiry.
func (e Expiry) Opens() bool {
	return e.Mode == Enforce && slices.ContainsFunc(e.Kinds, Kind.opens)
}

// Effect returns what the expiry means for calls.
func (e Expiry) Effect() string {
	switch {
	case e.Certificate != "":
		return "peers refuse it"
	case e.Operator != "":
		return "the admin API refuses it"
	case e.Rule == "":
		return "its caller is refused"
	case e.Opens():
		return "calls that it refused are allowed"
	}
	return "it has no effect"
}

// soon returns a warning if the expiry is near.
func (e Expiry) soon(now time.Time) (message string, ok bool) {
	from := e.SoonFrom()
	if !now.Before(e.At) || now.Before(from) {
		return "", false
	}
	return fmt.Sprintf("expires on %s, within %d days: then %s", e.At.Format(time.RFC3339), e.At.Sub(from)/day, e.Effect()), true
}

// firstCertificate returns the first certificate of a PEM file; nil if it has none.
func firstCertificate(data []byte) *x509.Certificate {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return leaf
		}
	}
	return nil
}

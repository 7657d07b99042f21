package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func manifestOf(t *testing.T) *Manifest {
	t.Helper()
	m, problems := DecodeManifest("m.yaml", []byte("services: [{name: A, handler: a}]\nauth: {identify: [token], tokens: {file: t.yaml}}\n"), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return m
}

func TestARuleThatExpiresSoonIsAWarning(t *testing.T) {
	day := 24 * time.Hour
	access, timeout := "access: {deny: [{caller: '*'}]}", "timeout: 1s"
	for _, tc := range []struct {
		rule string
		in   time.Duration
		want string
	}{
		{access, 6 * day, ", within 7 days: then calls that it refused are allowed"},
		{"rateLimit: {rate: 1, burst: 1}", time.Hour, "then calls that it refused are allowed"},
		{"concurrency: {max: 1, queue: 0}", time.Hour, "then calls that it refused are allowed"},
		{timeout, 6 * day, "then it has no effect"},
		{"mode: shadow, " + access, 6 * day, "then it has no effect"},
		{access, 8 * day, ""},
		{"mode: off, " + access, day, ""},
		{access, -time.Hour, "and has no effect: calls that it refused are allowed"},
		{timeout, -time.Hour, "and has no effect"},
	} {
		at := time.Now().Add(tc.in).UTC().Truncate(time.Second)
		rules, problems := DecodeRules("p.yaml", []byte("rules: [{name: r, match: {service: A}, expires: "+at.Format(time.RFC3339)+", "+tc.rule+"}]\n"), nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		s := &Set{Manifest: manifestOf(t), Rules: rules}
		found := slices.DeleteFunc(s.Validate(), func(p Problem) bool { return !strings.HasSuffix(p.Path, ".expires") })
		switch {
		case tc.want == "" && len(found) > 0, tc.want != "" && len(found) != 1:
			t.Errorf("%s in %s: %v", tc.rule, tc.in, found)
		case tc.want != "" && (!strings.HasSuffix(found[0].Message, tc.want) || !strings.Contains(found[0].Message, at.Format(time.RFC3339)) || !found[0].Warning || found[0].Line != 1):
			t.Errorf("%s in %s: %+v", tc.rule, tc.in, found[0])
		}
	}
}

func TestATokenThatExpiresSoonIsAWarning(t *testing.T) {
	for in, want := range map[time.Duration]bool{time.Hour: true, 8 * 24 * time.Hour: false} {
		s := &Set{Manifest: manifestOf(t), Tokens: []Token{{Caller: "web", SHA256: strings.Repeat("a", 64), Expires: time.Now().Add(in)}}}
		text := s.Validate().Error()
		if strings.Contains(text, "token of web expires on ") != want || strings.Contains(text, strings.Repeat("a", 64)) {
			t.Errorf("in %s: %s", in, text)
		}
	}
}

func TestACertificateThatExpiresWithinTwoWeeksIsAWarning(t *testing.T) {
	m, problems := DecodeManifest("easymicro.yaml", []byte("services: []\nlisteners:\n  - {name: main, address: ':1', tls: {certFile: host.pem, keyFile: host.key}}\n"+
		"upstreams:\n  - {name: a, service: A, resolve: {dns: 'a:1'}, tls: {certFile: client.pem, keyFile: client.key}}\n"), nil)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	end := time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second)
	s := &Set{Manifest: m, Contents: Contents{"host.pem": certificateUntil(t, end), "client.pem": []byte("nothing"), "host.key": certificateUntil(t, end)}}
	for in, want := range map[time.Duration]string{
		-15 * 24 * time.Hour: "",
		-13 * 24 * time.Hour: "host.pem expires on " + end.UTC().Format(time.RFC3339) + ", within 14 days: then peers refuse it",
		time.Hour:            "host.pem expired on " + end.UTC().Format(time.RFC3339) + ": peers refuse it, renew it",
	} {
		got := s.WarnCertificates(end.Add(in))
		if want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].String() != "easymicro.yaml:3:49: "+want || !got[0].Warning {
			t.Errorf("%v: %v, want %s", in, got, want)
		}
	}
	if list := s.Expiries(); len(list) != 1 || list[0].Certificate != "host.pem" || !list[0].At.Equal(end) {
		t.Errorf("%+v", list)
	}
}

func certificateUntil(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestExpiriesAreSortedWithoutDisabledRules(t *testing.T) {
	now := time.Now()
	s := &Set{
		Rules: []Rule{
			{Name: "late", Expires: now.Add(3)}, {Name: "off", Mode: Off, Expires: now}, {Name: "soon", Expires: now.Add(1)}, {Name: "never"},
		},
		Tokens: []Token{{Caller: "web", Expires: now.Add(2)}, {Caller: "ops"}},
	}
	var got []string
	for _, e := range s.Expiries() {
		got = append(got, e.Rule+e.Caller)
	}
	if !slices.Equal(got, []string{"soon", "web", "late"}) {
		t.Error(got)
	}
}

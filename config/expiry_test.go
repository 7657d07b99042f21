package config

import (
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

package cli

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

func TestSARIFHasWhatConsumersNeed(t *testing.T) {
	outside, err := filepath.Abs("../outside.yaml")
	if err != nil {
		t.Fatal(err)
	}
	log := newSARIF("1.2.3", config.Problems{
		config.Problem{File: "a b/p%:1.yaml", Line: 4, Column: 17, Path: "rules[0]", Message: "50%"}.Coded(lint.UnknownKey),
		config.Problem{File: outside, Line: 2, Message: "m"}.Coded(lint.MatchesNothing),
		config.Problem{File: "EASYMICRO_LISTEN", Message: "no port"}.Coded(lint.BadSetting),
		config.Problem{File: "p.yaml", Line: 1, Column: 1, Message: "m"}.Coded("acme.orders/short-ttl"),
	}, []config.Ignored{{Problem: config.Problem{File: "p.yaml", Line: 3, Message: "m"}.Coded(lint.NoEffect), Reason: "of a test"}})
	run := log.Runs[0]
	if log.Version != "2.1.0" || run.Tool.Driver.Name != "easymicro" || run.Tool.Driver.Version != "1.2.3" {
		t.Errorf("%+v", log)
	}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID == "" || r.Short.Text == "" || r.Defaults.Level == "" || len(r.Tags.Tags) != 1 {
			t.Errorf("incomplete: %+v", r)
		}
		if !strings.Contains(r.ID, "/") && (r.Full == nil || r.Help == nil || !strings.Contains(r.Help.Markdown, "```yaml")) {
			t.Errorf("%s has no help", r.ID)
		}
	}
	if last := run.Results[4]; last.RuleID != "EM312" || len(last.Ignored) != 1 || last.Ignored[0] != (sarifIgnored{"inSource", "of a test"}) {
		t.Errorf("%+v", last)
	}
	for i, want := range []struct{ rule, level, uri, base, text string }{
		{"EM104", "error", "a%20b/p%25:1.yaml", sourceRoot, "rules[0]: 50%"},
		{"EM220", "warning", (&url.URL{Scheme: "file", Path: filepath.ToSlash(outside)}).String(), "", "m"},
		{"EM207", "error", "", "", "EASYMICRO_LISTEN: no port"},
		{"acme.orders/short-ttl", "warning", "p.yaml", sourceRoot, "m"},
	} {
		r := run.Results[i]
		if r.RuleID != want.rule || run.Tool.Driver.Rules[*r.RuleIndex].ID != want.rule || r.Level != want.level || r.Message.Text != want.text {
			t.Errorf("%+v, want %+v", r, want)
		}
		if want.uri == "" {
			if len(r.Locations) > 0 {
				t.Errorf("%s has a location: %+v", want.rule, r.Locations)
			}
			continue
		}
		at := r.Locations[0].Physical
		if at.Artifact.URI != want.uri || at.Artifact.BaseID != want.base || at.Region.StartLine < 1 || at.Region.StartColumn < 1 {
			t.Errorf("%+v, want %+v", at, want)
		}
	}
}

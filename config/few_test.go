package config_test

import (
	"fmt"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestManySimilarProblemsAreCounted(t *testing.T) {
	var all config.Problems
	add := func(n int, path string, warning bool) {
		for i := range n {
			all = append(all, config.Problem{File: "p.yaml", Line: len(all) + 1, Path: fmt.Sprintf(path, i), Message: "m", Warning: warning})
		}
	}
	add(19000, "rules[%d].match.service", true)
	add(21, "rules[%d].timeout", true)
	add(22, "rules[%d].match.service", false)
	add(1, "admin.address%.0d", true)
	few := all.Few()
	if len(few) != 21+21+21+1 {
		t.Errorf("%d problems are left", len(few))
	}
	for i, want := range map[int]string{
		0:  "p.yaml:1:0: rules[0].match.service: m",
		20: "p.yaml:21:0: rules[].match.service: and 18980 more like these: easymicro validate lists all",
		41: "p.yaml:19021:0: rules[20].timeout: m",
		62: "p.yaml:19042:0: rules[].match.service: and 2 more like these: easymicro validate lists all",
		63: "p.yaml:19044:0: admin.address: m",
	} {
		if got := few[i].String(); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
	if few[62].Warning || !few[20].Warning {
		t.Error("what is counted has lost its kind")
	}
}

func TestManyChangesAreCounted(t *testing.T) {
	all := make(config.Changes, 19000)
	for i := range all {
		all[i] = config.Change{Subject: fmt.Sprintf("r%d", i), Text: "rule added", Class: config.Live}
	}
	all[18000].Class = config.Restart
	if got := all.Few(); len(got) != 101 || got[100].Text != "and 18900 more changes" || got.Class() != config.Restart || got.Lines()[100] != "and 18900 more changes" {
		t.Errorf("%d changes, the last is %+v", len(got), got[len(got)-1])
	}
	if got := all[:101].Few(); len(got) != 101 || got[100].Text != "rule added" {
		t.Error("one more is not worth a line that says so")
	}
}

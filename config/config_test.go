package config_test

import (
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestACopyOfACheckedSetIsUnchecked(t *testing.T) {
	m, problems := config.DecodeManifest("m.yaml", []byte("services: []"), nil)
	set := &config.Set{Manifest: m}
	if set.Checked() || set.Check(problems).Err() != nil || !set.Checked() {
		t.Fatal("a good set is not checked by Check alone")
	}
	if len(set.Warnings) != 1 {
		t.Errorf("warnings %v, want the one of services", set.Warnings)
	}
	other := *set
	if other.Checked() {
		t.Error("a copy is checked")
	}
	bad := &config.Set{Manifest: m, Rules: []config.Rule{{Name: "r"}}}
	if bad.Check(nil).Err() == nil || bad.Checked() {
		t.Error("a bad set is checked")
	}
}

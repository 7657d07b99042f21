package cli

import (
	"runtime/debug"
	"testing"
)

func TestVersionIsOfTheModuleOrTheCommit(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	for _, tt := range []struct {
		name, want string
		info       debug.BuildInfo
	}{
		{"go install", "v1.2.3", debug.BuildInfo{Main: debug.Module{Path: module, Version: "v1.2.3"}, Settings: commit}},
		{"go build", "devel-0123456789ab-dirty", debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"}, Settings: commit}},
		{"go run", "devel", debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"}}},
		{"a host of one's own", "v1.2.3", debug.BuildInfo{
			Main: debug.Module{Path: "example.com/orders", Version: "v9.9.9"}, Deps: []*debug.Module{{Path: module, Version: "v1.2.3"}},
		}},
		{"with a fork", "v1.2.4", debug.BuildInfo{
			Main: debug.Module{Path: "example.com/orders"},
			Deps: []*debug.Module{{Path: module, Version: "v1.2.3", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.2.4"}}},
		}},
		{"with a folder", "devel", debug.BuildInfo{
			Main: debug.Module{Path: "example.com/orders"},
			Deps: []*debug.Module{{Path: module, Version: "v1.2.3", Replace: &debug.Module{Path: "../easymicro"}}},
		}},
	} {
		if got := versionOf(&tt.info); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

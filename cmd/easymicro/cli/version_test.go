package cli

import (
	"os/exec"
	"runtime/debug"
	"strings"
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

// The name of the variable is what distributors give to the linker.
func TestTheLinkerMaySetTheVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", "-ldflags", "-X "+module+"/cmd/easymicro/cli.release=v1.2.3", module+"/cmd/easymicro", "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "easymicro v1.2.3 ") {
		t.Errorf("%s %v", out, err)
	}
}

package rig

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

func entrant(name string, loads ...string) *Entrant {
	return &Entrant{Description: contract.Description{Name: name, Loads: loads}}
}

func TestScenariosInviteByLoad(t *testing.T) {
	everywhere := entrant("grpc-go", contract.Own, contract.Shared)
	onlyOwn, web, added := entrant("pp+pb", contract.Own), entrant("net/http", contract.HTTP), entrant("mine", contract.Shared)
	added.Added = true
	for _, tt := range []struct {
		scenario string
		quick    bool
		want     string
	}{
		{"s1", false, "grpc-go pp+pb"},
		{"s2", false, "grpc-go mine"},
		{"s4", true, "grpc-go pp+pb mine"},
		{"gateway", false, "net/http"},
		{"sleep-2ms-s3", true, "grpc-go mine"},
		{"idle", true, "grpc-go pp+pb"},
	} {
		scenarios, err := chooseScenarios([]string{tt.scenario})
		if err != nil {
			t.Fatal(err)
		}
		var invited []string
		for _, e := range []*Entrant{everywhere, onlyOwn, web, added} {
			if scenarios[0].invites(e, tt.quick, false) {
				invited = append(invited, e.Name)
			}
		}
		if got := strings.Join(invited, " "); got != tt.want {
			t.Errorf("%s invites %q, want %q", tt.scenario, got, tt.want)
		}
	}
}

func TestAChosenContestantIsNotLeftOutToSaveTime(t *testing.T) {
	scenarios, err := chooseScenarios([]string{"sleep-2ms-s2"})
	if err != nil {
		t.Fatal(err)
	}
	gob := entrant("net/rpc+gob", contract.Shared)
	if scenarios[0].invites(gob, false, false) || !scenarios[0].invites(gob, false, true) {
		t.Error("net/rpc+gob takes part only if it is chosen")
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	if _, err := chooseScenarios([]string{"s1", "s9"}); err == nil || !strings.Contains(err.Error(), "s9") {
		t.Error(err)
	}
	if _, err := choose([]*Entrant{entrant("net/rpc+pb")}, []string{"grpc*"}); err == nil || !strings.Contains(err.Error(), "net/rpc+pb") {
		t.Error(err)
	}
	if err := checkNames([]*Entrant{entrant("a"), entrant("a")}); err == nil {
		t.Error("two contestants may have one name")
	}
}

func TestContestantsAreChosenByPattern(t *testing.T) {
	all := []*Entrant{entrant("easymicro"), entrant("easymicro-bare"), entrant("net/rpc+pb"), entrant("net/http")}
	for pattern, want := range map[string]string{
		"easymicro": "easymicro", "easymicro*": "easymicro easymicro-bare", "net*": "net/rpc+pb net/http", "*pb": "net/rpc+pb",
	} {
		chosen, err := choose(all, []string{pattern})
		if got := strings.Join(names(chosen), " "); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", pattern, got, err, want)
		}
	}
}

func TestHandlersAreNamedForTheContestants(t *testing.T) {
	steps := func(d time.Duration) int { return int(d / time.Microsecond) }
	for want, s := range map[string]Scenario{
		"echo": {}, "spin:10": {Spin: 10 * time.Microsecond}, "sleep:2ms": {Handler: "sleep:2ms"},
	} {
		if got := s.handler(steps); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTheEnvironmentHasOneGOGC(t *testing.T) {
	t.Setenv("GOGC", "55")
	peer, host := entrant("peer"), entrant("host")
	host.GOGC = "unset"
	for _, tt := range []struct {
		e          *Entrant
		ofScenario string
		want       string
	}{
		{peer, "", "GOGC=100"}, {host, "", ""}, {peer, "800", "GOGC=800"}, {host, "800", "GOGC=800"},
	} {
		env := slices.DeleteFunc(tt.e.environment(tt.ofScenario, ""), func(pair string) bool { return !strings.HasPrefix(pair, "GOGC=") })
		if got := strings.Join(env, " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.e.Name, got, tt.want)
		}
	}
}

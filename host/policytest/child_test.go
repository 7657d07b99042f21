package policytest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/policytest"
)

func TestMain(m *testing.M) {
	if policytest.IsChild(os.Args) {
		if os.Getenv("POLICYTEST_CRASH") != "" {
			panic("on purpose")
		}
		policytest.Child()
	}
	goleak.VerifyTestMain(m)
}

func TestAChildRunsTheSameCases(t *testing.T) {
	const cases = "  - {name: a, calls: {to: Arith.Mul, count: 2, over: 8h}, expect: {OK: 1}}\n"
	here := run(t, "  []", cases)
	var there []policytest.Suite
	o := &policytest.Options{Files: []string{"tests.yaml", filepath.Join(".", "tests.yaml")}}
	if err := policytest.Spawn(t.Context(), o, func(s *policytest.Suite) { there = append(there, *s) }); err != nil {
		t.Fatal(err)
	}
	if len(there) != 2 {
		t.Fatalf("%d suites, want 2", len(there))
	}
	for _, s := range there {
		if len(s.Cases) != 1 || s.Cases[0].VirtualMS != 8*60*60*1000 || s.Cases[0].Failures.Error() != here.Cases[0].Failures.Error() {
			t.Errorf("%+v, want %+v", s, here)
		}
	}
}

func TestAChildThatCrashesIsAnError(t *testing.T) {
	run(t, "  []", "  - {name: a, calls: {to: Arith.Mul}, expect: {OK: 1}}\n")
	t.Setenv("POLICYTEST_CRASH", "1")
	err := policytest.Spawn(t.Context(), &policytest.Options{Files: []string{"tests.yaml"}}, func(*policytest.Suite) { t.Error("a suite") })
	if err == nil || !strings.Contains(err.Error(), "panic: on purpose") {
		t.Errorf("got %v", err)
	}
}

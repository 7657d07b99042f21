package contract_test

import (
	"os"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// asServer makes the test binary a server: it prints its address, answers questions, and exits when stdin ends.
const asServer = "BENCHMARK_TEST_SERVER"

func TestMain(m *testing.M) {
	switch os.Getenv(asServer) {
	case "":
		m.Run()
	case "fails":
		_, _ = os.Stderr.WriteString("no such handler\n")
		os.Exit(3)
	default:
		serve()
	}
}

func serve() {
	_, _ = os.Stdout.WriteString(`{"address":"127.0.0.1:1"}` + "\n")
	buf := make([]byte, 100)
	for {
		n, err := os.Stdin.Read(buf)
		if err != nil {
			return
		}
		if string(buf[:n]) == string(contract.Count)+"\n" {
			_, _ = os.Stdout.WriteString(`{"cpu_us":7}` + "\n")
		}
	}
}

func start(t *testing.T, as string) *contract.Process {
	t.Helper()
	p, err := contract.Start(t.Context(), os.Args[0], append(os.Environ(), asServer+"="+as), "server")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestAServerIsAsked(t *testing.T) {
	p := start(t, "serves")
	var ready contract.Ready
	if err := p.Read(&ready); err != nil || ready.Address == "" {
		t.Fatal(ready, err)
	}
	for range 2 {
		if c, err := p.Ask(contract.Count); err != nil || c.CPUUs != 7 {
			t.Fatal(c, err)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestTheErrorOfAProcessIsShown(t *testing.T) {
	p := start(t, "fails")
	err := p.Read(new(contract.Ready))
	if err == nil || !strings.Contains(err.Error(), "no such handler") || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
}

func TestCountersAddUp(t *testing.T) {
	a := contract.Counters{CPUUs: 5, Mallocs: 4, AllocBytes: 3, GCs: 2, Reads: 8, Writes: 9, RSSBytes: 100}
	if got := a.Plus(a).Minus(a); got.RSSBytes != 200 || got.CPUUs != 5 || got.Writes != 9 {
		t.Errorf("%+v", got)
	}
}

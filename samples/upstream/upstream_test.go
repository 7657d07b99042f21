package upstream_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/samples/upstream"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const patience = 20 * time.Second

// sample holds the two hosts of the sample.
type sample struct {
	*hosttest.Host // the shop
	*testing.T
	stock *hosttest.Host
	conn  *wire.Conn
}

// start runs both hosts, with replacements applied to the shop's rules.
func start(t *testing.T, replacements ...string) *sample {
	t.Helper()
	t.Parallel()
	stock := hosttest.StartFile(t, "stock.yaml", hosttest.Options{})
	dir := t.TempDir()
	edit(t, dir, "easymicro.yaml", "127.0.0.1:8973", stock.Address)
	edit(t, dir, "policies.yaml", replacements...)
	shop := hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{})
	return &sample{Host: shop, T: t, stock: stock, conn: shop.Dial()}
}

// edit copies a file with replacements.
func edit(t *testing.T, dir, name string, replacements ...string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if strings.Count(string(text), replacements[i]) != 1 {
			t.Fatalf("%s does not have %q once", name, replacements[i])
		}
	}
	text = []byte(strings.NewReplacer(replacements...).Replace(string(text)))
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// looks makes a number of calls, none of which may fail.
func (s *sample) looks(times int) {
	s.Helper()
	for range times {
		if _, e := s.shop("Look"); e != nil {
			s.Fatal(e)
		}
	}
}

func (s *sample) shop(method string) (left int64, e *code.Error) {
	var level upstream.Level
	err := hosttest.CallJSON(s.Context(), s.conn, "Shop", method, upstream.Item{Name: "tea"}, &level)
	return level.Left, code.From(err)
}

// behave makes one in n calls to the stock fail.
func (s *sample) behave(n int64) {
	s.Helper()
	var now upstream.Mood
	if err := hosttest.CallJSON(s.Context(), s.stock.Dial(), "Stock", "Behave", upstream.Mood{FailOneIn: n}, &now); err != nil {
		s.Fatal(err)
	}
}

// decisions returns a counter of the shop's metrics.
func (s *sample) decisions(rule, kind, method, decision string) int {
	s.Helper()
	res, err := http.Get(s.AdminURL() + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	series := `easymicro_rule_decisions_total{decision="` + decision + `",kind="` + kind + `",method="` + method + `",rule="` + rule + `"} `
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, series); ok {
			n, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil {
				s.Fatal(err)
			}
			return n
		}
	}
	s.Fatalf("no %s in\n%s", series, text)
	return 0
}

func (s *sample) state(rule string) string {
	s.Helper()
	status, err := s.Admin.Status(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, b := range status.Breakers {
		if b.Rule == rule {
			return b.State
		}
	}
	s.Fatalf("no breaker of %s in %+v", rule, status.Breakers)
	return ""
}

func TestIdempotentCallsAreRetried(t *testing.T) {
	s := start(t)
	s.behave(3)
	for range 12 {
		if left, e := s.shop("Look"); e != nil || left != 1000 {
			t.Fatalf("%d %v, though it may be asked again", left, e)
		}
	}
	if n := s.decisions("stock-calls", "retry", "Stock/Left", "allow"); n < 4 || n > 8 {
		t.Errorf("%d retries of 12 calls of which one in three fails", n)
	}
	failed := 0
	for range 12 {
		if _, e := s.shop("Buy"); e != nil {
			if e.Code != code.Unavailable || !strings.Contains(e.Message, "nothing was sold: the scales are stuck") {
				t.Errorf("%+v", e)
			}
			failed++
		}
	}
	if failed != 4 {
		t.Errorf("%d of 12 failed, want 4: nothing is taken twice", failed)
	}
	if left, e := s.shop("Look"); left != 1000-8 {
		t.Errorf("%d are left after 8 were taken: %v", left, e)
	}
}

func TestTheBreakerOpensAndCloses(t *testing.T) {
	s := start(t, "openTimeout: 5s, halfOpenRequests: 2", "openTimeout: 1s, halfOpenRequests: 2")
	s.behave(1)
	var refusal *code.Error
	for deadline := time.Now().Add(patience); refusal == nil; {
		_, e := s.shop("Look")
		switch {
		case e == nil || e.Code != code.Unavailable || time.Now().After(deadline):
			t.Fatalf("%+v", e)
		case strings.Contains(e.Message, "circuit breaker open"):
			refusal = e
		}
	}
	if s.state("stock-calls") != "open" || !strings.Contains(refusal.Message, "by stock-calls@r1 on ") {
		t.Errorf("%s %+v", s.state("stock-calls"), refusal)
	}
	if s.decisions("stock-calls", "circuitBreaker", "Stock/Left", "reject") == 0 {
		t.Error("the refusal is not counted")
	}
	s.behave(0)
	for deadline := time.Now().Add(patience); s.state("stock-calls") != "closed"; {
		if time.Now().After(deadline) {
			t.Fatalf("it is %s", s.state("stock-calls"))
		}
		_, _ = s.shop("Look")
	}
	if left, e := s.shop("Look"); e != nil || left != 1000 {
		t.Errorf("%d %v", left, e)
	}
}

func TestTheShadowRuleOnlyCounts(t *testing.T) {
	s := start(t)
	s.behave(3)
	s.looks(12)
	if s.state("stock-strict") != "open" || s.state("stock-calls") != "closed" {
		t.Errorf("the stricter one is %s, the other %s", s.state("stock-strict"), s.state("stock-calls"))
	}
	if s.decisions("stock-strict", "circuitBreaker", "Stock/Left", "shadow_reject") == 0 {
		t.Error("it would have refused some")
	}
}

func TestAnEditOfTheRetryRuleAppliesToTheNextCall(t *testing.T) {
	s := start(t)
	s.behave(2)
	s.looks(6)
	s.Edit("policies.yaml", "retry: {maxAttempts: 3", "retry: {failMode: failfast, maxAttempts: 3")
	if r := s.Revision(); r.Changes.String() != "stock-calls: retry.failMode failover → failfast (policies.yaml:7)" {
		t.Fatalf("%s %s %v", r.Result, r.Changes, r.Problems)
	}
	failed := 0
	for range 4 {
		if _, e := s.shop("Look"); e != nil {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d of 4 failed, want 2", failed)
	}
}

// The stock restarts at another address: the upstream is edited while the shop runs.
func TestALostUpstreamIsReportedAndMayMove(t *testing.T) {
	s := start(t)
	if _, e := s.shop("Look"); e != nil {
		t.Fatal(e)
	}
	s.stock.Stop()
	began := time.Now()
	_, e := s.shop("Look")
	if e == nil || e.Code != code.Unavailable || !strings.Contains(e.Message, "no endpoint of Stock can be reached") {
		t.Fatalf("%+v", e)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s, the rule allows 1s", took)
	}
	moved := hosttest.StartFile(t, "stock.yaml", hosttest.Options{})
	s.Edit("easymicro.yaml", s.stock.Address, moved.Address)
	if r := s.Revision(); r.Result != "applied" {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	if left, e := s.shop("Look"); e != nil || left != 1000 {
		t.Errorf("%d %v", left, e)
	}
}

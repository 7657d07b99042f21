package telemetry

import (
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busy returns the metrics of a host with a value in each.
func busy(t *testing.T) *Metrics {
	t.Helper()
	m := New(Options{Version: "v1.2.3", Source: func(e *Emitter) {
		e.RuleInfo("arith-mul", "enforce", "enforced")
		e.Decisions("arith-mul", "rateLimit", "Arith/Mul", "reject", 12)
		e.LimiterTokens("arith-mul", "enforce", -0.5)
		e.LimiterKeys("partner", "shadow", 3)
		e.LimiterOverflow("partner", 4)
		e.LimiterMissingKey("partner", 5)
		e.BreakerState("arith-mul", "enforce", "Arith/Mul", "half_open")
		e.BreakerTransitions("arith-mul", "enforce", "Arith/Mul", "open", 2)
	}})
	mm := m.Method("Arith", "Mul", "rpcx")
	mm.Begin(traffic.Here())
	mm.Done(traffic.Here(), code.OK, 700*time.Microsecond)
	mm.End(traffic.Here())
	m.Other("http").Done(traffic.Here(), code.Unimplemented, time.Microsecond)
	m.Upstream("billing").done("Billing", "Get", nil, time.Now(), time.Millisecond)
	m.Connections("main", "rpcx").Inc()
	m.WireError("bad_magic")
	m.Reloaded(Reload{Result: "applied", Revision: 7, InSync: true, At: time.Unix(1700000000, 5e8)})
	return m
}

// scrape returns the text of /metrics over HTTP.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func wantLine(t *testing.T, text, line string) {
	t.Helper()
	if !slices.Contains(strings.Split(text, "\n"), line) {
		t.Errorf("no line %s in\n%s", line, ours(text))
	}
}

// ours removes the Go and process metrics.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		bare := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(bare, "easymicro_") || strings.HasPrefix(bare, "rpc_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestEveryMetricIsListedWithItsHelpTypeAndLabels(t *testing.T) {
	families, err := busy(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&b, "%s{%s} %s\n\t%s\n", name, strings.Join(labels, ","), strings.ToLower(f.GetType().String()), f.GetHelp())
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("run go test ./host/telemetry -update after a wanted change (-want +got):\n%s", d)
	}
}

func TestScrapeShowsTheValues(t *testing.T) {
	text := scrape(t, busy(t))
	for _, line := range []string{
		`rpc_server_call_duration_seconds_count{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",transport="rpcx"} 1`,
		`rpc_server_call_duration_seconds_bucket{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",transport="rpcx",le="0.0005"} 0`,
		`rpc_server_call_duration_seconds_bucket{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",transport="rpcx",le="0.005"} 1`,
		`rpc_server_call_duration_seconds_count{rpc_method="_OTHER",rpc_status_code="UNIMPLEMENTED",rpc_system_name="rpcx",transport="http"} 1`,
		`easymicro_inflight_requests 0`,
		`easymicro_connections{listener="main",protocol="rpcx"} 1`,
		`easymicro_wire_errors_total{reason="bad_magic"} 1`,
		`easymicro_config_revision 7`,
		`easymicro_config_in_sync 1`,
		`easymicro_config_last_success_timestamp_seconds 1.7000000005e+09`,
		`easymicro_config_reloads_total{result="applied"} 1`,
		`easymicro_config_reloads_total{result="rejected"} 0`,
		`easymicro_build_info{goversion="` + runtime.Version() + `",version="v1.2.3"} 1`,
		`easymicro_rule_decisions_total{decision="reject",kind="rateLimit",method="Arith/Mul",rule="arith-mul"} 12`,
		`easymicro_rule_info{mode="enforce",rule="arith-mul",status="enforced"} 1`,
		`easymicro_limiter_tokens{mode="enforce",rule="arith-mul"} -0.5`,
		`easymicro_limiter_keys{mode="shadow",rule="partner"} 3`,
		`easymicro_limiter_overflow_total{rule="partner"} 4`,
		`easymicro_limiter_missing_key_total{rule="partner"} 5`,
		`easymicro_breaker_state{mode="enforce",rule="arith-mul",state="half_open",target="Arith/Mul"} 1`,
		`easymicro_breaker_state{mode="enforce",rule="arith-mul",state="open",target="Arith/Mul"} 0`,
		`easymicro_breaker_transitions_total{mode="enforce",rule="arith-mul",target="Arith/Mul",to="open"} 2`,
	} {
		wantLine(t, text, line)
	}
	for _, foreign := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(text, "\n"+foreign+" ") {
			t.Errorf("%s is missing", foreign)
		}
	}
}

func TestReloadsShowTheRunningRevision(t *testing.T) {
	m := busy(t)
	m.Reloaded(Reload{Result: "rejected", Revision: 7, At: time.Unix(1800000000, 0)})
	text := scrape(t, m)
	for _, line := range []string{
		`easymicro_config_revision 7`,
		`easymicro_config_in_sync 0`,
		`easymicro_config_last_success_timestamp_seconds 1.7000000005e+09`,
		`easymicro_config_reloads_total{result="rejected"} 1`,
	} {
		wantLine(t, text, line)
	}
	m.Reloaded(Reload{Result: "unchanged", Revision: 7, InSync: true})
	text = scrape(t, m)
	wantLine(t, text, `easymicro_config_in_sync 1`)
	for accepted, line := range map[bool]string{true: `easymicro_config_last_reload_successful 1`, false: `easymicro_config_last_reload_successful 0`} {
		m.SetFilesAccepted(accepted)
		wantLine(t, scrape(t, m), line)
	}
}

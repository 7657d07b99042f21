package metrics_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/samples/circuitbreaker"
)

// exported holds the labels of every exported series, by name.
type exported map[string][]map[string]string

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

func parse(t *testing.T, text string) exported {
	t.Helper()
	all := exported{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no sample: %s", line)
		}
		labels := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			labels[pair[1]] = pair[2]
		}
		all[m[1]] = append(all[m[1]], labels)
	}
	return all
}

func (e exported) values(metric, label string) (values []string, ok bool) {
	for _, labels := range e[metric] {
		if v, has := labels[label]; has {
			values, ok = append(values, v), true
		}
	}
	return values, ok
}

// scraped holds the names and labels that Prometheus adds.
var scraped = map[string]bool{"up": true, "instance": true, "job": true}

// wrong returns the selectors of an expression that match nothing exported.
func (e exported) wrong(expr string) []string {
	var wrong []string
	found := selectors(expr)
	if len(found) == 0 {
		return []string{"it reads no metric"}
	}
	by := map[string]bool{}
	for _, s := range found {
		if scraped[s.metric] {
			continue
		}
		if e[s.metric] == nil {
			wrong = append(wrong, s.metric+" is not exported")
			continue
		}
		for _, m := range s.matchers {
			values, ok := e.values(s.metric, m.label)
			switch {
			case scraped[m.label]:
			case !ok:
				wrong = append(wrong, s.metric+" has no label "+m.label)
			case m.op == "=" && !slices.Contains(values, m.value):
				wrong = append(wrong, s.metric+" has no "+m.label+" of "+m.value)
			}
		}
		for _, label := range s.by {
			_, ok := e.values(s.metric, label)
			by[label] = by[label] || ok || scraped[label]
		}
	}
	for label, ok := range by {
		if !ok {
			wrong = append(wrong, "no metric in it has the label "+label)
		}
	}
	return wrong
}

// listening is a part of a manifest with a second listener, of TLS.
const listening = `
listeners:
  - {name: main, address: "127.0.0.1:8972"}
  - {name: secure, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key}}
`

// calling is a part of a manifest with an upstream and an etcd; nothing listens on port 1.
const calling = `
  - {name: Shop, handler: upstream.shop, uses: {stock: other}}
upstreams: [{name: other, service: Stock, resolve: {endpoints: [%q, "127.0.0.1:1"]}}]
discovery: {etcd: [{name: main, endpoints: ["http://127.0.0.1:1"], register: {}}]}
host: {shutdown: {drainDelay: 0s}}
policies:
`

// busy returns the metrics of a host after calls, refusals, an open breaker, a bad frame, an invalid edit and calls to an
// upstream.
func busy(t *testing.T) exported {
	t.Helper()
	other := hosttest.Start(t, "services: [{name: Stock, handler: upstream.stock}]", hosttest.Options{})
	manifest := strings.Replace(read(t, "easymicro.yaml"), "\npolicies:\n", fmt.Sprintf(calling, other.Address), 1)
	rules := read(t, "policies.yaml") + "\n  - {name: over, match: {service: Arith}, timeout: 1s, expires: 2020-01-01T00:00:00Z}\n"
	cert, key := hosttest.NewAuthority(t).Issue(t, "host.internal")
	h := hosttest.Start(t, listening+manifest, hosttest.Options{Files: map[string]string{"policies.yaml": rules, "host.pem": cert, "host.key": key}})
	for range 4 {
		if r, body := h.Post("/Shop/Look", `{"name":"tea"}`); r.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", r.Status, body)
		}
	}
	c := h.Dial()
	for range 20 {
		var product samples.Reply
		_ = hosttest.CallJSON(t.Context(), c, "Arith", "Mul", samples.Args{A: 6, B: 7}, &product) // some are refused
	}
	h.Post("/Arith/Mul", `{"a":6,"b":7}`)
	h.Post("/Stock/Warehouse", `{"down":true}`)
	for range 6 {
		var level circuitbreaker.Level
		_ = hosttest.CallJSON(t.Context(), c, "Stock", "Reserve", circuitbreaker.Item{}, &level)
	}
	garbage(t, h.Address)
	h.Write("policies.yaml", "rules: [{name: x}]\n")
	h.Revision()
	return parse(t, scrape(t, h))
}

// garbage sends a malformed frame, and waits until the host closes the connection.
func garbage(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(append([]byte{8}, make([]byte, 64)...)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func scrape(t *testing.T, h *hosttest.Host) string {
	t.Helper()
	res, err := http.Get(h.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", res.Status, err)
	}
	return string(text)
}

type alertFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

type dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
}

func alerts(t *testing.T) alertFile {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(read(t, "alerts.yaml")))
	d.KnownFields(true)
	var f alertFile
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var templateLabel = regexp.MustCompile(`\$labels\.([a-z_]+)`)

func TestAlertsReadWhatIsExported(t *testing.T) {
	e := busy(t)
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s: %+v lacks its name, its summary or its severity", group.Name, rule)
			}
			for _, wrong := range e.wrong(rule.Expr) {
				t.Errorf("%s: %s", rule.Alert, wrong)
			}
			for _, m := range templateLabel.FindAllStringSubmatch(rule.Annotations["summary"], -1) {
				if !scraped[m[1]] && !slices.ContainsFunc(selectors(rule.Expr), func(s selector) bool {
					_, ok := e.values(s.metric, m[1])
					return ok
				}) {
					t.Errorf("%s: no metric in it has the label %s of its summary", rule.Alert, m[1])
				}
			}
		}
	}
}

// A rule in shadow mode refuses no call: its state must not cause an alert.
func TestAlertsLeaveRulesInShadowOut(t *testing.T) {
	e, seen := busy(t), 0
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			enforced := func(s selector) bool { return slices.Contains(s.matchers, matcher{"mode", "=", "enforce"}) }
			for _, s := range selectors(rule.Expr) {
				_, ok := e.values(s.metric, "mode")
				joined := strings.HasPrefix(s.metric, "easymicro_limiter_") // some of these have no mode label
				if !ok && !joined {
					continue
				}
				seen++
				if !enforced(s) && (!joined || !slices.ContainsFunc(selectors(rule.Expr), enforced)) {
					t.Errorf("%s asks %s about rules in shadow, too", rule.Alert, s.metric)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no alert is about a metric with a mode")
	}
}

func TestTheDashboardReadsWhatIsExported(t *testing.T) {
	e := busy(t)
	d := readDashboard(t)
	if d.Title == "" || len(d.Panels) == 0 {
		t.Fatalf("%+v", d)
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, wrong := range e.wrong(target.Expr) {
				t.Errorf("%s: %s", p.Title, wrong)
			}
		}
	}
	for _, v := range d.Templating.List {
		if args, ok := strings.CutPrefix(v.Query, "label_values("); ok {
			metric, label, _ := strings.Cut(strings.TrimSuffix(args, ")"), ",")
			if label = strings.TrimSpace(label); e[metric] == nil || !scraped[label] {
				t.Errorf("the variable %s asks for %s of %s", v.Name, label, metric)
			}
		}
	}
}

// Every metric of easymicro is used by an alert or the dashboard.
func TestEveryMetricIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			for _, s := range selectors(rule.Expr) {
				used[s.metric] = true
			}
		}
	}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			for _, s := range selectors(target.Expr) {
				used[s.metric] = true
			}
		}
	}
	for name := range busy(t) {
		if (strings.HasPrefix(name, "easymicro_") || strings.HasPrefix(name, "rpc_client_") && strings.HasSuffix(name, "_count")) && !used[name] {
			t.Errorf("%s is neither in the alerts nor on the dashboard", name)
		}
	}
}

func TestAWrongNameIsNoticed(t *testing.T) {
	e := parse(t, "# TYPE a_total counter\na_total{rule=\"x\",decision=\"reject\"} 1\n")
	for _, tt := range []struct{ expr, want string }{
		{`rate(a_total{decision="reject"}[5m])`, ""},
		{`rate(b_total[5m])`, "b_total is not exported"},
		{`a_total{kind="x"}`, "a_total has no label kind"},
		{`a_total{decision="rejected"}`, "a_total has no decision of rejected"},
		{`sum by (rul) (a_total)`, "no metric in it has the label rul"},
		{`1 + 1`, "it reads no metric"},
	} {
		if got := strings.Join(e.wrong(tt.expr), ", "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.expr, got, tt.want)
		}
	}
}

func TestTheScrapeFileNamesTheAlerts(t *testing.T) {
	text := []byte(read(t, "prometheus.yaml"))
	var f struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	if err := yaml.Unmarshal(text, &f); err != nil || len(f.RuleFiles) == 0 {
		t.Fatalf("%v in %v", err, f)
	}
	for _, name := range f.RuleFiles {
		if files, err := filepath.Glob(name); err != nil || len(files) == 0 {
			t.Errorf("no file %s: %v", name, err)
		}
	}
}

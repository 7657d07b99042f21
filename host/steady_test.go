package host_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// rounds returns how often a test repeats what takes some seconds: once, or as often as given with TEST_EASYMICRO_LONG.
func rounds(long int) int {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return long
	}
	return 1
}

// applied makes an edit and returns its number.
func applied(t *testing.T, h *hosttest.Host, edit func()) int {
	t.Helper()
	edit()
	r := h.Revision()
	if r.Result != host.ResultApplied {
		t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
	}
	return r.Number
}

// steady checks that an edit was kept.
func steady(t *testing.T, h *hosttest.Host, revision int, about string) {
	t.Helper()
	if r := settled(t, h, revision); r.Result != host.ResultApplied || r.Number != revision {
		t.Errorf("%s: r%d %s: %q", about, r.Number, r.Result, r.Verdict)
	}
}

// An upstream that fails a second after an edit, goes on failing and recovers is no reason to undo edits that cannot be the cause. With
// TEST_EASYMICRO_LONG that takes ten minutes.
func TestAnUpstreamThatFailsUndoesNoEditOfAnythingElse(t *testing.T) {
	if testing.Short() {
		t.Skip("it calls for many seconds")
	}
	t.Parallel()
	far := new(moodyTill)
	reg := registry.New()
	registry.Plain(far, registry.In(reg), registry.As("test.till"))
	till := hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
	rules := func(description string, rate int) string {
		return ruleFile(fmt.Sprintf("{name: limit, description: %q, match: {service: Arith}, rateLimit: {rate: %d}}", description, rate), "{name: out, match: {upstream: till}, timeout: 2s}")
	}
	h := hosttest.Start(t, strings.Replace(fmt.Sprintf(undoneUpstream, till.Address), "{window: 1s}", "{window: 2s}", 1), hosttest.Options{
		Registry: deskPlant(t).reg, Files: map[string]string{policyFile: rules("", 10000), "tokens.yaml": tokensFile("partner-token", "")},
	})
	var s running
	s.run(t, h, stream{service: "Desk", method: "Mul"}, stream{method: "Mul", n: 2})
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 500 })
	description, rate := "", 10000
	for i := range 4 * rounds(75) {
		if i%2 == 0 {
			rate--
		} else {
			description = fmt.Sprint("edit ", i)
		}
		revision := applied(t, h, func() { h.Write(policyFile, rules(description, rate)) })
		second := time.After(time.Second)
		for before := s.ok.Load() + s.failed.Load(); ; {
			awaitThat(t, "calls", func() bool { return s.ok.Load()+s.failed.Load() > before+50 })
			before += 50
			select {
			case <-second:
			default:
				continue
			}
			break
		}
		far.fails.Store(i%4 < 2) // it fails during two edits, and works during two
		before := s.ok.Load() + s.failed.Load()
		awaitThat(t, "calls", func() bool { return s.ok.Load()+s.failed.Load() > before+500 })
		steady(t, h, revision, fmt.Sprint("edit ", i))
	}
	if s.failed.Load() < 500 {
		t.Errorf("%d calls failed only", s.failed.Load())
	}
	t.Logf("%d calls succeeded, %d failed", s.ok.Load(), s.failed.Load())
}

// storm is what strangers and the curious call, over rpcx, HTTP/1.1 and HTTP/2.
func storm(t *testing.T) []stream {
	client := h2c(t)
	list := []stream{{caller: "partner", method: "Mul", n: 4}}
	for _, s := range []stream{
		{caller: "stranger", method: "Mul"},
		{caller: "stranger", method: "Div"},
		{method: "Invented"},
		{service: "Invented", method: "Mul"},
	} {
		list = append(list, s)
		s.n, s.path = 1, "/"+s.service+"/"+s.method
		if s.service == "" {
			s.path = "/Arith/" + s.method
		}
		list = append(list, s)
		s.client = client
		list = append(list, s)
	}
	return list
}

// h2c returns a client for HTTP/2 without TLS.
func h2c(t *testing.T) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: p}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// Calls with bad tokens and invented names, more than all others, are no reason to undo an edit, whatever it changes.
func TestAStormOfStrangersUndoesNoEdit(t *testing.T) {
	if testing.Short() {
		t.Skip("it keeps the processors busy for twenty seconds")
	}
	till, _ := startTill(t, 1)
	p := deskPlant(t)
	registry.Plain(moody{}, registry.In(p.reg), registry.As("test.moody"))
	manifest := fmt.Sprintf(undoneUpstream, till.Address)
	manifest = strings.Replace(manifest, "test.arith", "test.moody", 1) + "gateway: {routes: [{path: /v1/mul, methods: [POST], service: Arith, method: Mul}]}\n"
	other := strings.Replace(tokensFile("other-token", ""), "partner", "other", 1)
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: p.reg, Log: new(logBuffer), Files: map[string]string{
		policyFile: ruleFile("{name: limit, match: {service: Arith}, rateLimit: {rate: 100000}}"), "tokens.yaml": tokensFile("partner-token", ""),
	}})
	var s running
	s.run(t, h, storm(t)...)
	awaitThat(t, "traffic", func() bool { return s.ok.Load() > 100 })
	for i := range rounds(20) {
		limit := fmt.Sprintf("{name: limit, match: {service: Arith}, rateLimit: {rate: %d}}", 90000+i)
		for _, edit := range []struct{ name, file, text string }{
			{"rule", policyFile, ruleFile(limit)},
			{"access", policyFile, ruleFile(limit, "{name: door, match: {service: Arith}, access: {allow: [{caller: partner}]}}")},
			{"tokens", "tokens.yaml", tokensFile("partner-token", "") + other},
			{"methods", "easymicro.yaml", strings.Replace(manifest, "test.moody", "test.moody, methods: {expose: [Mul]}", 1)},
			{"routes", "easymicro.yaml", strings.Replace(manifest, "/v1/mul", "/v2/mul", 1)},
			{"upstream", "easymicro.yaml", strings.Replace(manifest, "service: Till,", "service: Till, codec: json,", 1)},
			{"back", "easymicro.yaml", manifest},
			{"tokens back", "tokens.yaml", tokensFile("partner-token", "")},
		} {
			before := s.failed.Load()
			revision := applied(t, h, func() { h.Write(edit.file, edit.text) })
			steady(t, h, revision, edit.name)
			if n := s.failed.Load() - before; n < 100 {
				t.Errorf("%s: %d calls of strangers only", edit.name, n)
			}
		}
	}
	t.Logf("%d calls served, %d turned away", s.ok.Load(), s.failed.Load())
}

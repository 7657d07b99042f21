package etcdtest_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// easymicro runs one command line.
func easymicro(t *testing.T, args ...string) (exit int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit = cli.Run(t.Context(), args, cli.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return exit, stdout.String(), stderr.String()
}

func TestCommandsFindServicesInEtcd(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h, _ := published(t, server.URL(), "h1", "Arith", "Orders")
	server.Put("services/dead/127.0.0.1:1", "")
	at := []string{"--etcd", server.URL()}
	soon(t, "the host is published", func() bool {
		_, out, _ := easymicro(t, append([]string{"list"}, at...)...)
		return strings.Contains(out, "Orders")
	})
	for _, tc := range []struct {
		args      []string
		exit      int
		out, errs string
	}{
		{[]string{"list"}, 0, `Arith +` + h.Address + ` +h1 +live`, ""},
		{[]string{"list", "-o", "json"}, 0, `"name": "Arith",\s+"endpoints": \[\s+{\s+"address": "` + h.Address + `"`, ""},
		{[]string{"describe", "arith"}, 0, `^Arith   1 endpoint`, ""},
		{[]string{"describe", "Arith/Mul"}, 0, `^Arith   1 endpoint`, ""},
		{[]string{"describe", "Arit"}, 5, "", `service Arit not found in etcd \(did you mean Arith\?\)`},
		{[]string{"call", "Arith.Mul", `{"a":73,"b":1500}`}, 0, `^{"c":109500}\n$`, ""},
		{[]string{"call", "Arith/Mul", `{"a":73,"b":1500}`}, 0, `^{"c":109500}\n$`, ""},
		{[]string{"call", "arith.mul", `{"a":6,"b":7}`, "-v", "--compress", "gzip"}, 0, `^{"c":42}\n$`, "Arith|arith.mul at " + h.Address},
		{[]string{"call", "Arith.Nope"}, 5, "", "UNIMPLEMENTED: unknown method Arith.Nope"},
		{[]string{"call", "Arit.Mul"}, 5, "", `service Arit not found in etcd \(did you mean Arith\?\)`},
		{[]string{"call", "dead.Mul"}, 4, "", "127.0.0.1:1.*refused"},
	} {
		exit, out, errs := easymicro(t, append(tc.args, at...)...)
		if exit != tc.exit || !regexp.MustCompile(tc.out).MatchString(out) || !regexp.MustCompile(tc.errs).MatchString(errs) {
			t.Errorf("%v exits with %d:\n%s%s", tc.args, exit, out, errs)
		}
	}
	soon(t, "a shell completes names, which it has not long to wait for", func() bool {
		_, out, _ := easymicro(t, "__completeNoDesc", "call", "--etcd", server.URL(), "")
		return strings.HasPrefix(out, "Arith.\nOrders.\ndead.\n")
	})
	soon(t, "and goes on with a slash where one is typed", func() bool {
		_, out, _ := easymicro(t, "__completeNoDesc", "call", "--etcd", server.URL(), "Arith/")
		return strings.HasPrefix(out, "Arith/\nOrders/\n")
	})
}

// screen collects what a command prints while it runs.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestTheGatewayCommandRoutesToWhatEtcdKnows(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	published(t, server.URL(), "h1", "Arith")
	soon(t, "the host is published", func() bool {
		_, out, _ := easymicro(t, "list", "--etcd", server.URL())
		return strings.Contains(out, "Arith")
	})
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	save(t, rules, "rules: []\n")
	ctx, stop := context.WithCancel(t.Context())
	var shown, log screen
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(ctx, []string{
			"gateway", "--etcd", server.URL(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policies", rules, "--screen", "on", "--log-format", "text",
		}, cli.IO{Out: &shown, Err: &log})
	}()
	defer func() {
		stop()
		if exit := <-ended; exit != 0 {
			t.Errorf("exits with %d:\n%s%s", exit, &shown, &log)
		}
	}()
	first := regexp.MustCompile(`^routes to Arith \(etcd ` + server.URL() + `\)   rpcx\+http (\S+) \(this machine only\)   admin http://\S+
try    curl -d '{}' http://(\S+)/Arith/METHOD
edit   ` + rules + `, save, and watch this screen
`)
	soon(t, "it serves", func() bool { return first.MatchString(shown.String()) || len(ended) > 0 })
	at := first.FindStringSubmatch(shown.String())
	if at == nil || at[1] != at[2] {
		t.Fatalf("%s%s", &shown, &log)
	}
	curl := func(body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at[1]+"/Arith/mul", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{
			"Easymicro-Version": {"1.1"}, "Easymicro-Serializetype": {"1"}, "Easymicro-Messageid": {"1"},
			"Content-Type": {"application/x-www-form-urlencoded"},
		}
		res, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	if status, body := curl(`{"a":73,"b":1500}`); status != 200 || body != `{"c":109500}` {
		t.Errorf("%d %s", status, body)
	}
	save(t, rules, "rules: [{name: closed, match: {service: Arith}, access: {deny: [{caller: '*'}]}}]\n")
	soon(t, "the rule is in force", func() bool {
		status, _ := curl(`{}`)
		return status == http.StatusForbidden
	})
	soon(t, "the screen shows it", func() bool { return strings.Contains(shown.String(), "r2 applied") })
}

func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACommandSaysWhichEtcdDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	server.Stop()
	begin := time.Now()
	exit, _, errs := easymicro(t, "call", "Arith.Mul", "--etcd", server.URL())
	if exit != 4 || !strings.Contains(errs, "no answer from etcd at "+server.URL()+" within ") || time.Since(begin) > patience {
		t.Errorf("exits with %d after %v: %s", exit, time.Since(begin), errs)
	}
}

package samples_test

import (
	"bytes"
	"cmp"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/hosttest"
)

// asEasymicro makes the test binary run a command line of easymicro.
const asEasymicro = "SAMPLES_AS_EASYMICRO"

func TestMain(m *testing.M) {
	if os.Getenv(asEasymicro) != "" {
		cli.Main()
	}
	m.Run()
}

// The commands of a README print what it shows, up to the first edit of a file, except for times, durations and the host
// name. READMEs that need etcd, a collector or a second terminal are left out.
func TestPagesShowWhatCommandsPrint(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands: nothing here races")
	}
	for _, tool := range []string{"bash", "curl", "xxd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	for _, p := range []page{
		{name: "quickstart", commands: 2},
		{name: "error", commands: 4},
		{name: "metadata", commands: 3},
		{name: "serialize", commands: 6},
		{name: "keepalive", commands: 3},
		{name: "gateway", commands: 10},
		{name: "timeout", commands: 3, edits: []edit{{"easymicro.yaml", "takes: 1s", "takes: 4s"}}, until: "`Make` ran to its end"},
		{name: "ratelimit", commands: 4, edits: []edit{{"policies.yaml", "per: 10s", "per: 1000s"}}},
		{name: "circuitbreaker", commands: 4, edits: []edit{{"policies.yaml", "10s", "1000s"}, {"policies.yaml", "5s", "500s"}}},
		{name: "overload", commands: 1, edits: []edit{{"policies.yaml", "cpuAbove: 85%", "cpuAbove: 100%"}}, until: "The `curl` below"},
		{name: "metrics", commands: 2, edits: []edit{{"policies.yaml", "rate: 1, burst: 5", "rate: 1, per: 10m, burst: 5"}}},
		{name: "upstream", commands: 5, until: "`explain` takes"}, // it counts per second
		{name: "jwt", commands: 5, from: "A caller sends", until: "## Claims"},
		{
			name: "tls", commands: 4, edits: []edit{{"easymicro.yaml", "      register: {}                                # for the gateway\n", ""}},
			from: "The client presents", until: "## The gateway",
		},
	} {
		t.Run(p.name, func(t *testing.T) {
			h, stock := p.start(t)
			ran := 0
			for _, block := range p.blocks(t) {
				ran += len(block)
				p.run(t, h, stock, block)
			}
			if ran < p.commands {
				t.Errorf("the page has %d commands, want at least %d", ran, p.commands)
			}
		})
	}
}

// The commands by task in the README of the project work on a host of the quickstart, whose files were edited.
func TestTasksOfTheReadmeWork(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands: nothing here races")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	p := page{name: "quickstart", file: "../README.md", from: "## By task", until: "## Your own handlers"}
	h, _ := p.start(t)
	h.Edit("policies.yaml", "rate: 500", "rate: 400")
	ran := 0
	for _, block := range p.blocks(t) {
		for _, c := range block {
			c.line += " || echo failed: $?"
			if out := p.shell(t, h, "", []command{c})[0]; out == "" || strings.Contains(out, "failed: ") {
				t.Errorf("$ %s\n%s", c.line, out)
			}
			ran++
		}
	}
	if ran < 10 {
		t.Errorf("the README has %d commands by task", ran)
	}
}

// page is the README of a sample.
type page struct {
	name     string
	file     string // empty: README.md of the sample
	commands int    // that it has at least
	edits    []edit // of the files, so that a slow machine prints the same
	from     string // the text before the first command that is run
	until    string // the text before the first command that is not run
}

type edit struct{ file, from, to string }

// start runs the host of the sample, and the stock that the samples upstream and tls call.
func (p *page) start(t *testing.T) (h *hosttest.Host, stock string) {
	t.Helper()
	dir := t.TempDir()
	copySample(t, p.name, dir)
	edits := p.edits
	if p.name == "upstream" || p.name == "tls" {
		stock = hosttest.StartFile(t, filepath.Join(dir, "stock.yaml"), hosttest.Options{}).Address
		edits = append(edits, edit{"easymicro.yaml", "127.0.0.1:8973", stock})
	}
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(e.from)) {
			t.Fatalf("%s has no %q: %v", path, e.from, err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(e.from), []byte(e.to)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{}), stock
}

// command is a command of a page with its output.
type command struct{ line, want string }

var edited = regexp.MustCompile(`\band save\b`)

// blocks returns the commands of the page up to the first edit, without those that run a host.
func (p *page) blocks(t *testing.T) (blocks [][]command) {
	t.Helper()
	text, err := os.ReadFile(cmp.Or(p.file, filepath.Join(p.name, "README.md")))
	if err != nil {
		t.Fatal(err)
	}
	begun := p.from == ""
	for i, part := range strings.Split(string(text), "```") {
		text, isConsole := strings.CutPrefix(part, "console\n")
		if i%2 == 0 && begun && (edited.MatchString(part) || p.until != "" && strings.Contains(part, p.until)) {
			break
		}
		begun = begun || strings.Contains(part, p.from)
		if i%2 == 0 || !isConsole || !begun {
			continue
		}
		var block []command
		for _, c := range strings.Split("\n"+text, "\n$ ")[1:] {
			line, want, _ := strings.Cut(c, "\n")
			if strings.Contains(line, "serve -c") {
				continue
			}
			if timed, ok := strings.CutPrefix(line, "time "); ok { // the shell prints the time in its own form
				line, want = timed, regexp.MustCompile(`(?m)\n?^real\t.*\n?`).ReplaceAllString(want, "")
			}
			block = append(block, command{line, want})
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// run runs the commands of a block in one shell and compares the output of each.
func (p *page) run(t *testing.T, h *hosttest.Host, stock string, block []command) {
	t.Helper()
	for i, printed := range p.shell(t, h, stock, block) {
		if got, want := steady(printed), steady(block[i].want); got != want {
			t.Errorf("$ %s\ngot\n%s\nthe page has\n%s", block[i].line, got, want)
		}
	}
}

// shell runs the commands of a block in one shell and returns the output of each.
func (p *page) shell(t *testing.T, h *hosttest.Host, stock string, block []command) (outputs []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const mark = "\x01next\n"
	script := "exec 2>&1\neasymicro() { " + asEasymicro + "=1 '" + self + "' \"$@\"; }\ncurl() { command curl -s \"$@\"; }\n"
	for _, c := range block {
		script += c.line + "\nprintf '" + strings.ReplaceAll(mark, "\n", `\n`) + "'\n"
	}
	addresses := []string{"127.0.0.1:8972", h.Address, "127.0.0.1:8970", h.AdminAddr().String()}
	if stock != "" {
		addresses = append(addresses, "127.0.0.1:8973", stock)
	}
	hostname, port, err := net.SplitHostPort(h.Address)
	if err != nil {
		t.Fatal(err)
	}
	there := []string{"127.0.0.1/8972", hostname + "/" + port, "-c samples/" + p.name + "/easymicro.yaml", ""}
	if m, ok := made[p.name]; ok {
		there = append(there, "samples/"+p.name+"/"+m.folder, m.folder)
	}
	there = append(there, addresses...)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.NewReplacer(there...).Replace(script))
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(), "EASYMICRO_LISTEN="+h.Address, "EASYMICRO_ADMIN_LISTEN="+h.AdminAddr().String())
	out, _ := cmd.CombinedOutput() // pages show failing commands too
	printed := bytes.Split(out, []byte(mark))
	slices.Reverse(addresses)
	back := strings.NewReplacer(addresses...)
	for i, c := range block {
		if i >= len(printed)-1 {
			t.Fatalf("the shell ended at: %s\n%s", c.line, out)
		}
		outputs = append(outputs, back.Replace(string(printed[i])))
	}
	return outputs
}

// varying matches what differs from run to run.
var varying = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\r`), ""},
	{regexp.MustCompile(`(?m)^Date: .*\n`), ""},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\.\d+`), "TIME"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|s|m)\b`), "DURATION"},
	{regexp.MustCompile(`"retry_after_ms":\d+`), `"retry_after_ms":N`},
	{regexp.MustCompile(`Content-Length: \d+`), "Content-Length: N"},
	{regexp.MustCompile(`"host":"[^"]*"`), `"host":"HOST"`},
	{regexp.MustCompile(`(?m)^(host +|metadata +x-em-host: ).*`), "${1}HOST"},
	{regexp.MustCompile(`(?m) on [A-Za-z0-9.-]+(, retry| *$)`), " on HOST$1"},
	{regexp.MustCompile(` +`), " "},
}

func steady(text string) string {
	for _, v := range varying {
		text = v.re.ReplaceAllString(text, v.by)
	}
	return strings.TrimSpace(text)
}

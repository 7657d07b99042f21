package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const allKinds = `rules:
  - name: all-kinds
    match: {service: "*"}
    rateLimit: {rate: 100000, per: 1s}
    concurrency: {max: 1000}
    circuitBreaker: {failureRate: 50%}
    timeout: 5s
`

// TestFootprint prints how many functions and files one warm operation of a host executes. It compares the coverage
// counters of two runs, the second of which repeats the operation.
func TestFootprint(t *testing.T) {
	if os.Getenv("TEST_EASYMICRO_LONG") == "" || testing.Short() {
		t.Skip("a measurement: set TEST_EASYMICRO_LONG")
	}
	binary := filepath.Join(t.TempDir(), "easymicro")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-cover", "-covermode=atomic", "-coverpkg=./...", "-o", binary, "./cmd/easymicro")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, operation := range []struct {
		name string
		run  func(t *testing.T, f *footprint, times int)
	}{
		{"an rpcx call", func(t *testing.T, f *footprint, times int) {
			callOverRPCX(t, f.serve(t, "services: [{name: Arith, handler: samples.arith}]", allKinds), "Arith", "Mul", `{"a":2,"b":3}`, times)
		}},
		{"an HTTP call", func(t *testing.T, f *footprint, times int) {
			callOverHTTP(t, f.serve(t, "services: [{name: Arith, handler: samples.arith}]", allKinds), "/Arith/Mul", `{"a":2,"b":3}`, times)
		}},
		{"a call whose handler calls an upstream", func(t *testing.T, f *footprint, times int) {
			stock := f.serve(t, "services: [{name: Stock, handler: upstream.stock}]", "rules: []")
			shop := f.serve(t, `services: [{name: Shop, handler: upstream.shop, uses: {stock: stock}}]
upstreams: [{name: stock, service: Stock, resolve: {endpoints: ["`+stock+`"]}}]`, `rules:
  - name: stock-calls
    match: {upstream: stock}
    timeout: 1s
    retry: {maxAttempts: 3, perTryTimeout: 300ms}
    circuitBreaker: {failureRate: 60%}
`)
			callOverRPCX(t, shop, "Shop", "Look", `{"sku":"tea"}`, times)
		}},
		{"an edit of a rate", func(t *testing.T, f *footprint, times int) {
			f.serve(t, "services: [{name: Arith, handler: samples.arith}]", allKinds)
			for n := range times {
				f.edit(t, strings.Replace(allKinds, "100000", strconv.Itoa(100+n), 1))
			}
		}},
	} {
		few, many := 20, 60
		counts := make([]map[string]int, 2)
		for i, times := range []int{few, many} {
			f := &footprint{binary: binary, dir: t.TempDir()}
			operation.run(t, f, times)
			counts[i] = f.stop(t)
		}
		for block := range counts[1] {
			if counts[1][block]-counts[0][block] < (many-few)*9/10 {
				delete(counts[1], block)
			}
		}
		functions, files, packages := passed(t, counts[1])
		t.Logf("%-40s %4d functions %4d files %3d packages", operation.name, functions, files, packages)
	}
}

// A footprint counts the code that hosts execute.
type footprint struct {
	binary, dir string
	hosts       []*exec.Cmd
	policies    string
	log         *bufio.Scanner
}

// serve runs a host until stop and returns the address of its listener.
func (f *footprint) serve(t *testing.T, manifest, policies string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	f.policies = filepath.Join(dir, "policies.yaml")
	f.write(t, policies)
	path := filepath.Join(dir, "easymicro.yaml")
	if err := os.WriteFile(path, []byte(manifest+"\npolicies: {files: [policies.yaml]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), f.binary, "serve", "-c", path, "--listen", address, "--admin-listen", freeAddress(t))
	cmd.Env = append(os.Environ(), "GOCOVERDIR="+f.dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.hosts, f.log = append(f.hosts, cmd), bufio.NewScanner(out)
	f.wait(t, `"listening"`)
	return address
}

// wait reads the log of the last host started, up to a line with text.
func (f *footprint) wait(t *testing.T, text string) {
	t.Helper()
	for f.log.Scan() {
		if strings.Contains(f.log.Text(), text) {
			return
		}
	}
	t.Fatalf("the log ended without %s", text)
}

func (f *footprint) write(t *testing.T, policies string) {
	t.Helper()
	if err := os.WriteFile(f.policies+"~", []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.policies+"~", f.policies); err != nil {
		t.Fatal(err)
	}
}

func (f *footprint) edit(t *testing.T, policies string) {
	t.Helper()
	f.write(t, policies)
	f.wait(t, `"configuration reloaded"`)
}

// stop ends the hosts and returns the execution count of each block.
func (f *footprint) stop(t *testing.T) map[string]int {
	t.Helper()
	time.Sleep(time.Second) // for what an operation does after its response
	for _, cmd := range slices.Backward(f.hosts) {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	profile := filepath.Join(f.dir, "profile")
	if out, err := exec.CommandContext(t.Context(), "go", "tool", "covdata", "textfmt", "-i="+f.dir, "-o="+profile).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var block string
		var statements, n int
		if _, err := fmt.Sscan(line, &block, &statements, &n); err == nil && n > 0 {
			counts[strings.TrimPrefix(block, module+"/")] = n
		}
	}
	return counts
}

// passed counts the functions that the blocks belong to, without samples.
func passed(t *testing.T, blocks map[string]int) (functions, files, packages int) {
	t.Helper()
	lines := map[string][]int{} // by file
	for block := range blocks {
		name, position, _ := strings.Cut(block, ":")
		if strings.HasPrefix(name, "samples/") {
			continue
		}
		from, _, _ := strings.Cut(position, ".")
		n, err := strconv.Atoi(from)
		if err != nil {
			t.Fatal(err)
		}
		lines[name] = append(lines[name], n)
	}
	seen := map[string]bool{}
	for name, ran := range lines {
		seen[filepath.Dir(name)] = true
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(root, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				first, last := fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
				if slices.ContainsFunc(ran, func(n int) bool { return first <= n && n <= last }) {
					functions++
				}
			}
		}
	}
	return functions, len(lines), len(seen)
}

func callOverRPCX(t *testing.T, address, service, method, args string, times int) {
	t.Helper()
	c := dial(t, address)
	frame := []byte{0x08, 0, 0, 1 << 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0} // a request, JSON
	for _, part := range []string{service, method, "", args} {
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(part)))
		frame = append(frame, part...)
	}
	binary.BigEndian.PutUint32(frame[12:], uint32(len(frame)-16))
	for range times {
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		header := make([]byte, 16)
		if _, err := io.ReadFull(c, header); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(header[12:]))
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		if header[2]&3 != 0 {
			t.Fatalf("%s.%s failed: %q", service, method, body)
		}
	}
}

func callOverHTTP(t *testing.T, address, path, body string, times int) {
	t.Helper()
	c := dial(t, address)
	in := bufio.NewReader(c)
	for range times {
		_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, address, len(body), body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", path, res.Status, text)
		}
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

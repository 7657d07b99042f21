package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/wire/client"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

// fast detects changes by events only, at once.
func fast() FileOptions {
	return FileOptions{Timing: func() watch.Timing { return watch.Timing{Debounce: 20 * time.Millisecond, Poll: time.Hour} }}
}

// polled detects changes without events.
func polled() FileOptions {
	return FileOptions{Timing: func() watch.Timing { return watch.Timing{Debounce: 5 * time.Millisecond, Poll: 20 * time.Millisecond} }}
}

func nodesOf(addresses ...string) string {
	text := "endpoints:\n"
	for _, a := range addresses {
		text += "  - address: " + a + "\n"
	}
	return text
}

func TestAFileSetsAddressWeightAndMetadata(t *testing.T) {
	list, problems := config.DecodeEndpoints("nodes.yaml", []byte(`# a comment
endpoints:
  - address: "tcp://10.0.0.5:8972"
    weight: 10
    metadata: {group: blue, zone: 1}
  - {address: "unix:///run/x.sock"}
  - 10.0.0.6:8972
  - "tcp://[::1]:8972"
`), nil)
	must(t, problems.Err())
	if diff := cmp.Diff([]client.Endpoint{
		{Network: "tcp", Address: "10.0.0.5:8972", Weight: 10, Metadata: map[string]string{"group": "blue", "zone": "1"}},
		{Network: "unix", Address: "/run/x.sock"},
		{Network: "tcp", Address: "10.0.0.6:8972"},
		{Network: "tcp", Address: "[::1]:8972"},
	}, endpointsOf(list)); diff != "" {
		t.Error(diff)
	}
}

func TestEveryWayOfSavingAFileIsNoticed(t *testing.T) {
	for name, save := range map[string]func(t *testing.T, path, content string){
		"truncate and write": write,
		"rename over": func(t *testing.T, path, content string) {
			t.Helper()
			write(t, path+".new", content)
			must(t, os.Rename(path+".new", path))
		},
		"remove and write": func(t *testing.T, path, content string) {
			t.Helper()
			must(t, os.Remove(path))
			write(t, path, content)
		},
	} {
		for way, options := range map[string]FileOptions{"events": fast(), "polling": polled()} {
			t.Run(name+" by "+way, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "nodes.yaml")
				write(t, path, nodesOf("a:1"))
				ch := updates(t, File(path, options))
				want(t, ch, "tcp@a:1")
				save(t, path, nodesOf("a:1", "b:2"))
				want(t, ch, "tcp@a:1 tcp@b:2")
				save(t, path, nodesOf("c:3"))
				want(t, ch, "tcp@c:3")
			})
		}
	}
}

// A mounted ConfigMap is a link to a link to a directory; the middle one is replaced.
func TestASwappedConfigMapIsNoticed(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1", "2"} {
		must(t, os.Mkdir(filepath.Join(dir, "..v"+v), 0o700))
		write(t, filepath.Join(dir, "..v"+v, "nodes.yaml"), nodesOf("a:"+v))
	}
	must(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "nodes.yaml"), filepath.Join(dir, "nodes.yaml")))
	ch := updates(t, File(filepath.Join(dir, "nodes.yaml"), fast()))
	want(t, ch, "tcp@a:1")
	must(t, os.Symlink("..v2", filepath.Join(dir, "..tmp")))
	must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	must(t, os.RemoveAll(filepath.Join(dir, "..v1")))
	want(t, ch, "tcp@a:2")
}

func TestAGoodFileIsReadOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes.yaml")
	write(t, path, nodesOf("a:1"))
	o := fast()
	o.Env = func(string) (string, bool) { // the next write happens while this one is read
		return "b", os.Truncate(path, 0) == nil
	}
	ch := updates(t, File(path, o))
	want(t, ch, "tcp@a:1")
	write(t, path+".new", nodesOf("${HOST}:2"))
	must(t, os.Rename(path+".new", path))
	want(t, ch, "tcp@b:2")
}

func TestABadFileKeepsTheListAndReportsWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes.yaml")
	ch := updates(t, File(path, fast()))
	if a := next(t, ch); a.err == nil || !strings.Contains(a.String(), path+": cannot be read: no such file") {
		t.Fatalf("no file: %v", a)
	}
	write(t, path, nodesOf("a:1"))
	want(t, ch, "tcp@a:1")
	for content, message := range map[string]string{
		"":                    "empty",
		"endpoints: [{x: 1}]": "endpoints[0].x: unknown key",
	} {
		write(t, path, content)
		a := next(t, ch)
		if a.err == nil || a.list != nil || !strings.Contains(a.err.Error(), message) {
			t.Fatalf("%q: %v", content, a)
		}
		write(t, path, nodesOf("a:1"))
		want(t, ch, "tcp@a:1")
	}
	must(t, os.Remove(path))
	if a := next(t, ch); a.err == nil {
		t.Fatalf("the file is gone: %v", a)
	}
	write(t, path, "endpoints: []\n")
	want(t, ch, "") // this empty list is intended
}

// An invalid file is read twice, with time in between. What the second read finds is what a later change differs from.
func TestAFileThatIsInvalidAgainIsReported(t *testing.T) {
	for _, bad := range []string{"", "endpoints: [a]\n"} { // missing, and without a port
		t.Run(bad, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "nodes.yaml")
			put := func(text string) {
				t.Helper()
				if text == "" {
					must(t, os.Remove(path))
				} else {
					write(t, path, text)
				}
			}
			if bad != "" {
				put(bad)
			}
			ch := updates(t, File(path, FileOptions{Timing: func() watch.Timing {
				return watch.Timing{Debounce: time.Millisecond, Poll: 20 * time.Millisecond}
			}}))
			wait := func(ok func(answer) bool) {
				t.Helper()
				for !ok(next(t, ch)) {
					t.Log("another update")
				}
			}
			wait(func(a answer) bool { return a.err != nil })
			for range 5 { // most of the times it becomes valid between the two reads
				time.Sleep(rereadAfter / 2)
				put(nodesOf("a:1"))
				wait(func(a answer) bool { return a.err == nil })
				put(bad)
				wait(func(a answer) bool { return a.err != nil })
			}
		})
	}
}

package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// fast notices by events alone, at once.
func fast() FileOptions {
	return FileOptions{Timing: func() watch.Timing { return watch.Timing{Debounce: 20 * time.Millisecond, Poll: time.Hour} }}
}

// polled notices without events.
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

func TestAFileSaysAddressWeightAndMetadata(t *testing.T) {
	list, problems := decodeNodes("nodes.yaml", []byte(`# a comment
endpoints:
  - address: "tcp://10.0.0.5:8972"
    weight: 10
    metadata: {group: blue, zone: 1}
  - {address: "unix:///run/x.sock"}
  - 10.0.0.6:8972
  - "tcp://[::1]:8972"
`))
	must(t, problems.Err())
	if diff := cmp.Diff([]client.Endpoint{
		{Network: "tcp", Address: "10.0.0.5:8972", Weight: 10, Metadata: map[string]string{"group": "blue", "zone": "1"}},
		{Network: "unix", Address: "/run/x.sock"},
		{Network: "tcp", Address: "10.0.0.6:8972"},
		{Network: "tcp", Address: "[::1]:8972"},
	}, list); diff != "" {
		t.Error(diff)
	}
	if list, problems := decodeNodes("nodes.yaml", []byte("endpoints: []\n")); problems != nil || list == nil || len(list) != 0 {
		t.Errorf("an empty list that is meant: %v %v", list, problems)
	}
}

func TestWhatIsWrongInAFileIsSaidWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "n.yaml:1:1: empty",
		"# nothing\n":                  "n.yaml:1:1: empty",
		"---\n":                        "n.yaml:1:1: empty",
		"endpoints:\n":                 "n.yaml:1:11: endpoints: needs a list",
		"- address: a:1\n":             "n.yaml:1:1: needs keys and values, beginning with `endpoints:`",
		"endpoint: []\n":               "n.yaml:1:1: endpoint: unknown key (did you mean endpoints?)",
		"endpoints: [[a:1]]\n":         "n.yaml:1:13: endpoints[0]: needs keys and values",
		"endpoints: [a]\n":             `n.yaml:1:13: endpoints[0]: "a" has no port`,
		"endpoints: [~]\n":             "n.yaml:1:13: endpoints[0]: needs a text",
		"endpoints: [7]\n":             "n.yaml:1:13: endpoints[0]: 7 has no colon",
		"endpoints: [a:1, a:1]\n":      "n.yaml:1:18: endpoints[1]: a:1 stands in line 1 already",
		"endpoints:\n  - weight: 1\n":  "n.yaml:2:5: endpoints[0].address: is required",
		"endpoints:\n  - address: a\n": `n.yaml:2:14: endpoints[0].address: "a" has no port`,
		"endpoints:\n  - {adr: a}\n":   "n.yaml:2:6: endpoints[0].adr: unknown key",
		"endpoints:\n  - {address: a:1, weight: 0}\n":          "n.yaml:2:28: endpoints[0].weight: needs a whole number",
		"endpoints:\n  - {address: a:1, weight: 1.5}\n":        "n.yaml:2:28: endpoints[0].weight: needs a whole number",
		"endpoints:\n  - {address: a:1, metadata: [1]}\n":      "n.yaml:2:30: endpoints[0].metadata: needs keys and values",
		"endpoints:\n  - {address: a:1, metadata: {a: [1]}}\n": "n.yaml:2:34: endpoints[0].metadata.a: needs a text",
		nodesOf("a:1", "a:1"):                                  "n.yaml:3:5: endpoints[1].address: a:1 stands in line 2 already",
		"endpoints: []\nendpoints: []\n":                       "n.yaml:2:1: endpoints: stands there twice",
		"endpoints: []\n---\nendpoints: []\n":                  "n.yaml:2:1: a second document",
		"endpoints: [\n":                                       "n.yaml:",
		strings.Repeat("[", 40_000):                            "n.yaml:1:",
		"endpoints: []\n" + strings.Repeat("#", 1<<20):         "n.yaml:1:1: is larger than 1 MiB",
	} {
		_, problems := decodeNodes("n.yaml", []byte(text))
		if err := problems.Err(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q:\n%v\nwant\n%s", text, err, want)
		}
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
				ch := told(t, File(path, options))
				want(t, ch, "tcp@a:1")
				save(t, path, nodesOf("a:1", "b:2"))
				want(t, ch, "tcp@a:1 tcp@b:2")
				save(t, path, nodesOf("c:3"))
				want(t, ch, "tcp@c:3")
			})
		}
	}
}

// A mounted ConfigMap is a link to a link to a folder; the middle one is turned.
func TestASwappedConfigMapIsNoticed(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1", "2"} {
		must(t, os.Mkdir(filepath.Join(dir, "..v"+v), 0o700))
		write(t, filepath.Join(dir, "..v"+v, "nodes.yaml"), nodesOf("a:"+v))
	}
	must(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "nodes.yaml"), filepath.Join(dir, "nodes.yaml")))
	ch := told(t, File(filepath.Join(dir, "nodes.yaml"), fast()))
	want(t, ch, "tcp@a:1")
	must(t, os.Symlink("..v2", filepath.Join(dir, "..tmp")))
	must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	must(t, os.RemoveAll(filepath.Join(dir, "..v1")))
	want(t, ch, "tcp@a:2")
}

func TestABadFileKeepsTheListAndSaysWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes.yaml")
	ch := told(t, File(path, fast()))
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
	want(t, ch, "") // this one is meant
}

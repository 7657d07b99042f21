package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set is the files of a test, with what their watcher has reported.
type set struct {
	t        *testing.T
	dir      string
	reported chan string
	begun    time.Time // of the current change
	slow     bool      // a change took longer than the quiet time
	*Watcher
}

// contents returns the hash of a test: the policy files and their contents, in plain text.
func contents(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var all []string
	for _, e := range entries {
		if n := e.Name(); !strings.HasSuffix(n, ".yaml") || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "#") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		all = append(all, e.Name()+"="+string(data))
	}
	slices.Sort(all)
	return fmt.Sprintf("%s #%x", strings.Join(all, ","), sha256.Sum256([]byte(strings.Join(all, "\x00")))), nil
}

var (
	patient = Timing{Debounce: 120 * time.Millisecond, MaxDelay: 5 * time.Second, Poll: time.Hour} // events alone
	polling = Timing{Debounce: 5 * time.Millisecond, MaxDelay: time.Second, Poll: 10 * time.Millisecond}
)

// start watches dir, whose files are written by prepare, until the test ends.
func start(t *testing.T, dir string, timing Timing, change ...func(*Watcher)) *set {
	t.Helper()
	s := &set{t: t, dir: dir, reported: make(chan string, 100)}
	s.Watcher = New(Options{
		Dirs:   func() []string { return []string{dir} },
		Hash:   func() (string, error) { return contents(dir) },
		Timing: func() Timing { return timing },
	})
	for _, c := range change {
		c(s.Watcher)
	}
	s.run()
	return s
}

// run returns when the watcher is watching.
func (s *set) run() {
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	hash, once := s.o.Hash, sync.Once{}
	s.o.Hash = func() (string, error) { // first called when everything is set up
		h, err := hash()
		once.Do(func() { close(watching) })
		return h, err
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Watch(ctx, func(hash string) { s.reported <- hash }); err != nil {
			s.t.Errorf("watch: %v", err)
		}
	})
	s.t.Cleanup(func() { cancel(); running.Wait() })
	<-watching
	s.begun = time.Now()
}

// want waits until content is reported. Another report before it is an error, unless the machine was so busy that the
// steps of the change were further apart than the quiet time.
func (s *set) want(content string) {
	s.t.Helper()
	s.slow = s.slow || time.Since(s.begun) >= patient.Debounce
	deadline := time.After(time.Minute)
	for text := ""; ; {
		select {
		case got := <-s.reported:
			text, _, _ = strings.Cut(got, " #")
		case <-deadline:
			s.t.Fatalf("%q was never reported; state %+v", content, s.State())
		}
		if text == content {
			s.begun = time.Now()
			return
		}
		if !s.slow {
			s.t.Fatalf("%q was reported, want %q", text, content)
		}
	}
}

// nothingMore fails if something was reported after the last change.
func (s *set) nothingMore() {
	s.t.Helper()
	select {
	case got := <-s.reported:
		if !s.slow {
			s.t.Errorf("%q was reported once too often", got)
		}
	default:
	}
}

func (s *set) path(name string) string { return filepath.Join(s.dir, name) }

func (s *set) write(name, content string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path(name), []byte(content), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *set) replace(name, content string) {
	s.t.Helper()
	s.write(name+".tmp", content)
	must(s.t, os.Rename(s.path(name+".tmp"), s.path(name)))
}

func TestEverySaveIsReportedOnce(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(s *set, content string){
		"truncate and write": func(s *set, c string) { s.write("p.yaml", c) },
		"in two halves": func(s *set, c string) {
			f, err := os.Create(s.path("p.yaml"))
			must(s.t, err)
			_, err = f.WriteString(c[:1])
			must(s.t, err)
			must(s.t, f.Sync())
			_, err = f.WriteString(c[1:])
			must(s.t, err)
			must(s.t, f.Close())
		},
		"rename over": func(s *set, c string) { s.replace("p.yaml", c) },
		"rename away and write": func(s *set, c string) { // as vim does with a backup
			must(s.t, os.Rename(s.path("p.yaml"), s.path("p.yaml~")))
			s.write("p.yaml", c)
			must(s.t, os.Remove(s.path("p.yaml~")))
		},
		"delete and recreate": func(s *set, c string) {
			must(s.t, os.Remove(s.path("p.yaml")))
			s.write("p.yaml", c)
		},
		"many times": func(s *set, c string) {
			for i := range 10 {
				s.write("p.yaml", fmt.Sprint(i))
			}
			s.write("p.yaml", c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte("start"), 0o600))
			s := start(t, dir, patient)
			for _, c := range []string{"first", "second", "third"} { // it keeps watching
				save(s, c)
				s.want("p.yaml=" + c)
			}
			s.nothingMore()
		})
	}
}

func TestTemporaryFilesAndEqualContentsAreNoChange(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), patient)
	s.write("p.yaml", "a")
	s.want("p.yaml=a")
	s.replace("p.yaml", "a")
	for _, n := range []string{".#p.yaml", "#p.yaml#", "p.yaml~", ".p.yaml.swp", "4913"} {
		s.write(n, "x")
	}
	must(t, os.Chmod(s.path("p.yaml"), 0o400))
	must(t, os.Remove(s.path("p.yaml")))
	s.write("p.yaml", "b")
	s.want("p.yaml=b")
	s.nothingMore()
}

func TestRemovingTheLastFileIsAChange(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), patient)
	s.write("p.yaml", "a")
	s.want("p.yaml=a")
	must(t, os.Remove(s.path("p.yaml")))
	s.want("")
	s.write("p.yaml", "a")
	s.want("p.yaml=a")
}

func TestAConfigMapSwapIsOneChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, content string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "p.yaml"), []byte(content), 0o600))
	}
	swap := func(name string) {
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "one")
	swap("..1")
	must(t, os.Symlink(filepath.Join("..data", "p.yaml"), filepath.Join(dir, "p.yaml")))
	s := start(t, dir, patient)
	for i, old := 2, "..1"; i <= 4; i++ {
		name := fmt.Sprintf("..%d", i)
		version(name, name)
		swap(name)
		must(t, os.RemoveAll(filepath.Join(dir, old)))
		s.want("p.yaml=" + name)
		old = name
	}
	s.nothingMore()
}

func TestADirectoryBehindALinkIsFollowed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		must(t, os.Mkdir(filepath.Join(root, v), 0o700))
		must(t, os.WriteFile(filepath.Join(root, v, "p.yaml"), []byte(v), 0o600))
	}
	link := filepath.Join(root, "policies.d")
	must(t, os.Symlink("v1", link))
	s := start(t, link, patient)
	s.write("p.yaml", "changed")
	s.want("p.yaml=changed")
	must(t, os.Symlink("v2", link+".tmp"))
	must(t, os.Rename(link+".tmp", link))
	s.want("p.yaml=v2")
	s.write("p.yaml", "changed too")
	s.want("p.yaml=changed too")
	s.nothingMore()
}

func TestARecreatedDirectoryIsWatchedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "conf", "policies.d")
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte("a"), 0o600))
	s := start(t, dir, patient)
	for _, how := range []func(string) error{os.RemoveAll, func(p string) error { return os.Rename(p, p+".old") }} {
		must(t, how(dir))
		s.want("") // unreadable
		if st := s.State(); !st.Polling || !strings.Contains(st.Problem, "policies.d") || st.Since.IsZero() {
			t.Errorf("state %+v", st)
		}
		must(t, os.Mkdir(dir, 0o700))
		s.write("p.yaml", "b")
		s.want("p.yaml=b")
		s.write("p.yaml", "c")
		s.want("p.yaml=c")
		if st := s.State(); st.Polling {
			t.Errorf("state %+v", st)
		}
	}
	s.nothingMore()
}

func TestNewDirectoriesAreWatchedAfterAChange(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	var mu sync.Mutex
	dirs := []string{one}
	s := start(t, one, patient, func(w *Watcher) {
		w.o.Dirs = func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(dirs)
		}
		w.o.Hash = func() (string, error) {
			a, _ := contents(one)
			b, _ := contents(two)
			a, _, _ = strings.Cut(a, " #")
			b, _, _ = strings.Cut(b, " #")
			return a + "|" + b, nil
		}
	})
	mu.Lock()
	dirs = []string{one, two, filepath.Join(one, ".", "..", filepath.Base(one))}
	mu.Unlock()
	s.write("p.yaml", "a")
	s.want("p.yaml=a|")
	s.replace("p.yaml", "b")
	s.want("p.yaml=b|") // by now the new directory is watched
	must(t, os.WriteFile(filepath.Join(two, "q.yaml"), []byte("c"), 0o600))
	s.want("p.yaml=b|q.yaml=c")
	s.nothingMore()
}

func TestAnUnknownContentIsReportedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte("a"), 0o600))
	s := start(t, dir, patient, func(w *Watcher) { w.known, w.o.Known = "what was loaded before", "what was loaded before" })
	s.want("p.yaml=a")
	s.nothingMore()
}

// Between the report and the load, the content may change and change back.
func TestAChangeBackToTheReportedContentIsReported(t *testing.T) {
	t.Parallel()
	const a, b, c = "a", "b", "c"
	changed := false
	reported := make(chan string, 10)
	w := New(Options{
		Dirs:   func() []string { return nil },
		Hash:   func() (string, error) { return b, nil },
		Known:  a,
		Timing: func() Timing { return polling },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = w.Watch(ctx, func(hash string) {
			if !changed {
				changed = true
				w.Loaded(c)
			}
			reported <- hash
		})
	})
	defer running.Wait()
	defer cancel()
	for range 2 {
		select {
		case got := <-reported:
			if got != b {
				t.Fatalf("reported %q, want %q", got, b)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q is not reported after %q was loaded", b, c)
		}
	}
}

func TestMaxDelayEndsTheWaitForQuiet(t *testing.T) {
	s := start(t, t.TempDir(), Timing{Debounce: time.Hour, MaxDelay: 20 * time.Millisecond, Poll: time.Hour})
	s.write("p.yaml", "a")
	s.want("p.yaml=a")
}

func TestWithoutEventsPollingFindsChanges(t *testing.T) {
	t.Parallel()
	noWatcher := func(w *Watcher) {
		w.dir.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	}
	s := start(t, t.TempDir(), polling, noWatcher)
	if st := s.State(); !st.Polling || !strings.Contains(st.Problem, "too many open files") {
		t.Errorf("state %+v", st)
	}
	for _, c := range []string{"a", "b"} {
		s.replace("p.yaml", c)
		s.want("p.yaml=" + c)
	}
	s.nothingMore()
}

func TestALostWatcherIsReplaced(t *testing.T) {
	for name, lose := range map[string]func(*fsnotify.Watcher){
		"overflow": func(fs *fsnotify.Watcher) { fs.Errors <- fsnotify.ErrEventOverflow },
		"closed":   func(fs *fsnotify.Watcher) { _ = fs.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan *fsnotify.Watcher, 10)
			timing := polling
			s := start(t, t.TempDir(), timing, func(w *Watcher) {
				w.dir.open = func() (*fsnotify.Watcher, error) {
					fs, err := fsnotify.NewWatcher()
					opened <- fs
					return fs, err
				}
			})
			lose(<-opened)
			select {
			case <-opened:
			case <-time.After(time.Minute):
				t.Fatal("no new watcher")
			}
			s.replace("p.yaml", "a")
			s.want("p.yaml=a")
			if st := s.State(); st.Polling {
				t.Errorf("state %+v", st)
			}
		})
	}
}

func TestWatchRequiresDirs(t *testing.T) {
	t.Parallel()
	if err := New(Options{}).Watch(t.Context(), func(string) {}); err == nil {
		t.Error("no error")
	}
}

// A directory that is removed between two lookups is not watched any more, so that there would be no event.
func TestADirectoryRemovedDuringLookupIsNoticed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "policies.d")
	must(t, os.Mkdir(dir, 0o700))
	d := newDirs()
	d.reopen()
	defer d.close()
	if !d.follow([]string{dir}) {
		t.Error("it is not watched")
	}
	must(t, os.Remove(dir))
	if !d.watch(dir) { // as if it had been there a moment ago
		t.Error("its removal is not noticed")
	}
	if !d.follow([]string{dir}) || d.watched[filepath.Dir(dir)] == nil {
		t.Error("its parent is not watched")
	}
}

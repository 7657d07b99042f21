package lifecycle_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry/registrytest"
	"github.com/easymicro/easymicro/samples/lifecycle"
	"github.com/easymicro/easymicro/wire/code"
)

func open(t *testing.T, o lifecycle.Options) *registrytest.Handler {
	t.Helper()
	return registrytest.Open(t, "lifecycle.journal", registrytest.Options(o))
}

func add(t *testing.T, h *registrytest.Handler, text string) {
	t.Helper()
	if _, err := registrytest.Call[lifecycle.Receipt](t.Context(), h, "Add", lifecycle.Line{Text: text}); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); string(got) != want {
		t.Errorf("%s has %q (%v), want %q", filepath.Base(file), got, err, want)
	}
}

func TestLinesAreWrittenInTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.txt")
	synctest.Test(t, func(t *testing.T) {
		h := open(t, lifecycle.Options{File: file, Every: time.Minute, Lines: 10})
		add(t, h, "one")
		add(t, h, "two")
		time.Sleep(time.Minute - time.Second)
		wantFile(t, file, "")
		time.Sleep(2 * time.Second)
		wantFile(t, file, "one\ntwo\n")
	})
}

func TestOptionsChangeWhileItRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.txt")
	synctest.Test(t, func(t *testing.T) {
		o := lifecycle.Options{File: file, Every: time.Hour, Lines: 10}
		h := open(t, o)
		add(t, h, "one")
		o.Every = time.Second
		if handled, err := h.Reconfigure(t.Context(), o); !handled || err != nil {
			t.Fatal(handled, err)
		}
		time.Sleep(2 * time.Second)
		wantFile(t, file, "one\n")

		o.File = filepath.Join(file, "none", "journal.txt")
		if _, err := h.Reconfigure(t.Context(), o); err == nil {
			t.Error("a directory that does not exist is accepted")
		}
		add(t, h, "two")
		time.Sleep(2 * time.Second)
		wantFile(t, file, "one\ntwo\n")
	})
}

func TestNothingIsLostAtTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.txt")
	h := open(t, lifecycle.Options{File: file, Every: time.Hour, Lines: 10})
	add(t, h, "one")
	if err := h.Service.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, file, "one\n")
}

func TestWhatCannotBeWrittenWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	file := filepath.Join(dir, "journal.txt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := open(t, lifecycle.Options{File: file, Every: time.Second, Lines: 2})
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		add(t, h, "one")
		add(t, h, "two")
		time.Sleep(3 * time.Second)
		if err := h.Service.Ready(t.Context()); err == nil {
			t.Error("it is ready, and cannot write")
		}
		_, err := registrytest.Call[lifecycle.Receipt](t.Context(), h, "Add", lifecycle.Line{Text: "three"})
		if code.Of(err) != code.ResourceExhausted {
			t.Errorf("a third line: %v", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := h.Service.Ready(t.Context()); err != nil {
			t.Errorf("it can write again: %v", err)
		}
		wantFile(t, file, "one\ntwo\n")
	})
}

func TestALineIsOneLine(t *testing.T) {
	h := open(t, lifecycle.Options{File: filepath.Join(t.TempDir(), "journal.txt"), Every: time.Hour, Lines: 10})
	_, err := registrytest.Call[lifecycle.Receipt](t.Context(), h, "Add", lifecycle.Line{Text: "one\ntwo"})
	if code.Of(err) != code.InvalidArgument {
		t.Errorf("two lines: %v", err)
	}
}

func TestTheSampleAsAHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, other := filepath.Join(dir, "journal.txt"), filepath.Join(dir, "other.txt")
	h := hosttest.StartCopy(t, ".", hosttest.Options{}, "journal.txt", file, "every: 1s", "every: 1h")
	var receipt lifecycle.Receipt
	if err := hosttest.CallJSON(t.Context(), h.Dial(), "Journal", "Add", lifecycle.Line{Text: "one"}, &receipt); err != nil || receipt.Waiting != 1 {
		t.Fatal(receipt, err)
	}
	h.Edit("easymicro.yaml", file, filepath.Join(dir, "none", "journal.txt"))
	if r := h.Revision(); r.Result == host.ResultApplied {
		t.Error("a directory that does not exist is accepted")
	}
	h.Edit("easymicro.yaml", filepath.Join(dir, "none", "journal.txt"), other)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	h.Stop()
	wantFile(t, other, "one\n") // by OnClose of the same instance
}

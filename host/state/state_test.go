package state_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
)

const plenty = 50

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(dir, "process 7 (host a)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// attempt returns an attempt of one file, and its texts by hash.
func attempt(number int, text string) (*admin.Attempt, map[string][]byte) {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	return &admin.Attempt{
		Number: number, Hash: "set of " + hash, At: start, Source: admin.SourceFile, Who: "ann", Why: "ticket 7", Result: admin.ResultApplied,
		Files: []config.File{{Path: "easymicro.yaml", Hash: hash}},
	}, map[string][]byte{hash: []byte(text)}
}

func add(t *testing.T, s *state.Store, number int, text string) *admin.Attempt {
	t.Helper()
	a, texts := attempt(number, text)
	if err := s.Add(a, texts, plenty); err != nil {
		t.Fatal(err)
	}
	return a
}

func good(t *testing.T, s *state.Store, number int, at time.Time) {
	t.Helper()
	if err := s.MarkGood(number, admin.VerdictKept, at); err != nil {
		t.Fatal(err)
	}
}

func numbers(list []admin.Attempt) (n []int) {
	for i := range list {
		n = append(n, list[i].Number)
	}
	return n
}

func TestWhatWasKeptIsReadAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	s := open(t, dir)
	a := add(t, s, 1, "one")
	good(t, s, 1, start)
	add(t, s, 2, "two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	list := again.History(plenty)
	if len(list) != 2 || list[0].Why != "ticket 7" || list[0].Verdict != admin.VerdictKept || list[1].Verdict != "" || again.Number() != 2 {
		t.Errorf("%+v", list)
	}
	g := again.Good()
	if len(g) != 1 || g[0].Number != 1 || g[0].Hash != a.Hash {
		t.Fatalf("%+v", g)
	}
	texts, err := again.Texts(g[0].Files)
	if err != nil || string(texts["easymicro.yaml"]) != "one" || len(again.Warnings()) > 0 {
		t.Errorf("%q %v %q", texts, err, again.Warnings())
	}
}

func TestTheDirectoryIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	add(t, s, 1, "one")
	good(t, s, 1, start)
	if err := errors.Join(s.Audit.Add(state.AuditEntry{}), s.Boot.End()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, statErr := d.Info()
		if err = errors.Join(err, statErr); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheHistoryIsBoundedAndTextsGoWithIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 30 {
		a, texts := attempt(i+1, fmt.Sprint("text ", i+1))
		if err := s.Add(a, texts, 5); err != nil {
			t.Fatal(err)
		}
		if i == 9 {
			good(t, s, 10, start)
		}
	}
	for i := range 40 {
		a := &admin.Attempt{Number: 30, Result: admin.ResultRejected, Why: fmt.Sprint(i), Times: max(i-29, 0)}
		if err := s.Add(a, nil, 5); err != nil {
			t.Fatal(err)
		}
	}
	list := open2(t, s, dir).History(5)
	if got := numbers(list); !slices.Equal(got, []int{28, 29, 30, 30, 30}) || list[3].Why != "29" || list[4].Why != "39" {
		t.Errorf("r%d %+v", got, list)
	}
	if texts, _ := os.ReadDir(filepath.Join(dir, "texts")); len(texts) != 4 { // of the revisions and of the good one
		t.Errorf("%d texts", len(texts))
	}
}

// open2 closes a store and opens its directory again.
func open2(t *testing.T, s *state.Store, dir string) *state.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func TestGenerationsAreTheNewestAndTheLastOlderThanAnHourAndADay(t *testing.T) {
	s := open(t, t.TempDir())
	n := 0
	for at := start; at.Before(start.Add(72 * time.Hour)); at = at.Add(30 * time.Minute) {
		n++
		add(t, s, n, fmt.Sprint(n))
		good(t, s, n, at)
		var ages []time.Duration
		for _, g := range s.Good() {
			ages = append(ages, at.Sub(g.GoodAt))
		}
		within := func(from, to time.Duration) bool {
			return slices.ContainsFunc(ages, func(a time.Duration) bool { return a >= from && a < to })
		}
		age := at.Sub(start)
		if ages[0] != 0 || age >= time.Hour && !within(time.Hour, 2*time.Hour+time.Minute) || age >= 24*time.Hour && !within(24*time.Hour, 49*time.Hour) || len(ages) > 5 {
			t.Fatalf("after %s: good sets of ages %s", age, ages)
		}
	}
}

func TestASetThatStaysGoodKeepsItsAge(t *testing.T) {
	s := open(t, t.TempDir())
	add(t, s, 1, "one")
	good(t, s, 1, start)
	add(t, s, 2, "one") // after a restart
	good(t, s, 2, start.Add(2*time.Hour))
	if g := s.Good(); len(g) != 1 || !g[0].GoodAt.Equal(start) {
		t.Errorf("%+v", g)
	}
}

func TestTwoHostsCannotShareADirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := state.Open(dir, "process 8")
	if used := new(state.InUseError); !errors.As(err, &used) || used.Owner != "process 7 (host a)" {
		t.Errorf("%v", err)
	}
	open2(t, s, dir)
}

// fill makes a directory with all kinds of files, and returns their paths in it.
func fill(t *testing.T) (dir string, paths []string) {
	dir = t.TempDir()
	s := open(t, dir)
	for i := range 3 {
		add(t, s, i+1, fmt.Sprint("text ", i+1))
		good(t, s, i+1, start.Add(time.Duration(i)*90*time.Minute))
		if err := s.Audit.Add(state.AuditEntry{Action: "admin", Revision: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Boot.Try("h", start); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(s.Boot.CrashFile(), []byte("panic: x\n"), 0o600), s.Close()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) != 13 {
		t.Fatalf("%v %q", err, paths)
	}
	return dir, paths
}

// survives opens a directory of fill in which one file is damaged.
func survives(t *testing.T, dir, damaged string) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	lost := func(folder string) int {
		if strings.Contains(damaged, string(filepath.Separator)+folder+string(filepath.Separator)) {
			return 1
		}
		return 0
	}
	list := s.History(plenty)
	if len(list) < 3-lost("revisions") || s.Number() != 3 {
		t.Fatalf("%s: r%d of 3, %q", damaged, numbers(list), s.Warnings())
	}
	if _, err := os.Stat(damaged); err == nil && len(list) == 2 && len(s.Warnings()) != 1 {
		t.Fatalf("%s: no warning", damaged)
	}
	readable := 0
	for _, g := range s.Good() {
		if texts, err := s.Texts(g.Files); err == nil && string(texts["easymicro.yaml"]) == fmt.Sprint("text ", g.Number) {
			readable++
		}
	}
	if readable < 3-lost("good")-lost("texts") {
		t.Fatalf("%s: %d good sets of 3, %q", damaged, readable, s.Warnings())
	}
	if entries, err := s.Audit.Entries(); err != nil || len(entries) < 3 && !strings.HasSuffix(damaged, "audit.jsonl") {
		t.Fatalf("%s: %d audit entries, %v", damaged, len(entries), err)
	}
}

func TestAFileCutAtAnyLengthLosesNoMoreThanItself(t *testing.T) {
	dir, paths := fill(t)
	for _, path := range paths {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			survives(t, dir, path)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		survives(t, dir, path)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	survives(t, dir, "")
}

func TestAFlippedByteLosesNoMoreThanItsFile(t *testing.T) {
	dir, paths := fill(t)
	for _, path := range paths {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			flipped := slices.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			survives(t, dir, path)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	dir, _ := fill(t)
	temp := filepath.Join(dir, "revisions", ".tmp-123")
	if err := os.WriteFile(temp, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	survives(t, dir, "")
	if _, err := os.Stat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestADamagedTextIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a := add(t, s, 1, "one")
	if err := os.WriteFile(filepath.Join(dir, "texts", a.Files[0].Hash), []byte("on"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open2(t, s, dir)
	if _, err := s.Texts(a.Files); err == nil {
		t.Fatal("half a text was returned")
	}
	add(t, s, 2, "one")
	if _, err := s.Texts(a.Files); err != nil {
		t.Error(err)
	}
}

func TestAnAuditLogIsBoundedAndGoesOnAfterACutLine(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	path := filepath.Join(dir, "audit.jsonl")
	if err := os.WriteFile(path, []byte(`{"action":"first"}`+"\n"+`{"action":"cu`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Audit.Add(state.AuditEntry{Action: "next"}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Audit.Entries(); err != nil || len(list) != 2 || list[1].Action != "next" {
		t.Errorf("%+v %v", list, err)
	}
	long := strings.Repeat("x", 300<<10)
	for range 20 {
		if err := s.Audit.Add(state.AuditEntry{Action: "next", Why: long}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Audit.Entries()
	if err != nil || len(list) < 4 || len(list) > 8 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// However many attempts change nothing, the changes stay in the audit log.
func TestAttemptsThatChangeNothingDoNotPushChangesOutOfTheAuditLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	long := strings.Repeat("x", 30<<10)
	idle := []state.AuditEntry{
		{Result: admin.ResultRejected, Error: long}, {Result: admin.ResultHeld, Why: long}, {Result: admin.ResultUnchanged, Action: admin.SourceAdmin, Why: long},
	}
	for i := range 300 {
		e := idle[i%len(idle)]
		e.Revision = i
		if i%100 == 0 {
			e = state.AuditEntry{Revision: i, Result: admin.ResultApplied}
		}
		if err := s.Audit.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Audit.Entries()
	var applied []int
	for _, e := range list {
		if e.Result == admin.ResultApplied {
			applied = append(applied, e.Revision)
		}
	}
	if err != nil || !slices.Equal(applied, []int{0, 100, 200}) || len(list) > 100 || list[len(list)-1].Revision != 299 {
		t.Errorf("%d entries, r%d applied, %v", len(list), applied, err)
	}
}

package host

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
)

func TestOverridesDoNotMakeASetGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := state.Open(t.TempDir(), "test")
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		d := &stateDir{store: store, writer: newStateWriter("state", log, true), log: log, history: new(history), goodAfter: goodAfter, ready: true}
		defer d.close()
		sum := sha256.Sum256(nil)
		text := hex.EncodeToString(sum[:])
		set := &config.Set{Hash: "a", Texts: map[string][]byte{text: nil}}
		revision := func(n int, source string) *Attempt {
			return &Attempt{Number: n, Source: source, Result: ResultApplied, Hash: "a", Files: []config.File{{Path: "x.yaml", Hash: text}}}
		}
		d.add(revision(1, SourceFile), set, 10, true)
		d.judged(1, set, "no evidence (0 of 100 calls)")
		d.add(revision(2, admin.SourceOverride), set, 10, false)
		time.Sleep(goodWithoutEvidenceAfter - time.Minute)
		synctest.Wait()
		if list := store.Good(); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if list := store.Good(); len(list) != 1 || list[0].Number != 1 {
			t.Errorf("%+v", list)
		}
	})
}

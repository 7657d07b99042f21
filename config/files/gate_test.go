package files_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config/files"
)

func TestAHangingReadIsReportedAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate files.Gate
		away, reads := make(chan struct{}), 0
		read := func(at func(string)) (string, error) {
			reads++
			at("/mnt/a.yaml")
			<-away
			return "a", nil
		}
		const want = "read /mnt/a.yaml: no answer within 10s: is its file system unreachable?"
		begin := time.Now()
		for range 3 {
			if got, err := files.Through(t.Context(), &gate, read); err == nil || err.Error() != want || got != "" {
				t.Errorf("%q %v", got, err)
			}
		}
		if took := time.Since(begin); took != 10*time.Second || reads != 1 {
			t.Errorf("%d reads took %s", reads, took)
		}
		close(away)
		synctest.Wait()
		if got, err := files.Through(t.Context(), &gate, read); got != "a" || err != nil || reads != 2 {
			t.Errorf("after it came back: %q %v", got, err)
		}
	})
}

func TestALongReadOfManyFilesIsNotOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := files.Through(t.Context(), new(files.Gate), func(at func(string)) (int, error) {
			for range 10 {
				at("file")
				time.Sleep(6 * time.Second)
			}
			return 10, nil
		})
		if got != 10 || err != nil {
			t.Errorf("%d %v", got, err)
		}
	})
}

func TestThroughEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		away := make(chan struct{})
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, err := files.Through(ctx, new(files.Gate), func(func(string)) (int, error) { <-away; return 0, nil })
		if !errors.Is(err, context.Canceled) || time.Since(begin) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(away)
	})
}

func TestAnAbandonedReadClosesTheGateWhenOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate files.Gate
		away, next := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := files.Through(ctx, &gate, func(at func(string)) (int, error) {
			at("/mnt/a.yaml")
			<-away
			at("/mnt/b.yaml")
			<-next
			return 0, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		pass := func() error {
			_, err := files.Through(t.Context(), &gate, func(func(string)) (int, error) { return 0, nil })
			return err
		}
		if err := pass(); err != nil {
			t.Errorf("nothing is overdue: %v", err)
		}
		time.Sleep(10 * time.Second)
		if err := pass(); err == nil || err.Error() != "read /mnt/a.yaml: no answer within 10s: is its file system unreachable?" {
			t.Errorf("after 11s: %v", err)
		}
		close(away)
		synctest.Wait()
		if err := pass(); err != nil {
			t.Errorf("it goes on with another file: %v", err)
		}
		close(next)
	})
}

func TestConcurrentReadsPassTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gate files.Gate
		slow := make(chan struct{})
		go func() {
			_, _ = files.Through(t.Context(), &gate, func(func(string)) (int, error) { <-slow; return 0, nil })
		}()
		synctest.Wait()
		if got, err := files.Through(t.Context(), &gate, func(func(string)) (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("%d %v", got, err)
		}
		close(slow)
	})
}

func TestAPanicInAReadIsRaisedInTheCaller(t *testing.T) {
	defer func() {
		if p, _ := recover().(string); !strings.HasPrefix(p, "a bug\n") || !strings.Contains(p, "gate_test.go") {
			t.Errorf("recovered %q", p)
		}
	}()
	_, _ = files.Through(t.Context(), new(files.Gate), func(func(string)) (int, error) { panic("a bug") })
}

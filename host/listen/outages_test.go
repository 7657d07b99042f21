package listen

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAListenerThatDoesNotAcceptIsALineAtItsBeginningAndOneAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counted := map[string]int{}
		a := newOutages(slog.New(slog.NewTextHandler(&log, nil)), func(listener, reason string) { counted[listener+" "+reason]++ })
		defer a.close()
		for range 1000 {
			a.failed("main", &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)})
			a.failed("main", net.ErrClosed)
			a.failed("main", os.ErrDeadlineExceeded)
			time.Sleep(20 * time.Millisecond)
		}
		a.failed("side", errors.New("network is down"))
		for range 3 {
			a.note("admin", acceptTooMany, nil)
		}
		if v := a.list(); len(v) != 3 || v[0].Listener != "admin" || v[0].Count != 3 {
			t.Errorf("%+v", v)
		} else if v = v[1:]; v[0].Listener != "main" || v[0].Count != 1000 || v[1].Reason != acceptFailed {
			t.Errorf("%+v", v)
		}
		time.Sleep(2 * outageOver)
		synctest.Wait()
		if v := a.list(); len(v) != 0 {
			t.Errorf("%+v", v)
		}
		if fmt.Sprint(counted) != "map[admin too_many_connections:3 main no_descriptors:1000 side accept_failed:1]" {
			t.Error(counted)
		}
		text := log.String()
		for want, n := range map[string]int{
			`msg="not accepting connections" listener=main reason=no_descriptors error="accept: accept4: too many open files" descriptors=`: 1,
			`msg="not accepting connections" listener=side reason=accept_failed error="network is down"`:                                    1,
			`msg="accepting connections again" listener=main reason=no_descriptors not_accepted=1000 lasted=19.98s`:                         1,
			`msg="closing connections to accept new ones" listener=admin reason=too_many_connections advice=`:                               1,
			`msg="no longer closing connections to accept new ones" listener=admin reason=too_many_connections closed=3 lasted=0s`:          1,
			"\n": 6,
		} {
			if got := strings.Count(text, want); got != n {
				t.Errorf("%d times %q in\n%s", got, want, text)
			}
		}
	})
}

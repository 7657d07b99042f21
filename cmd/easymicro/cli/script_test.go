package cli_test

import (
	"errors"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts run the binary like its users. Besides the commands of testscript there are
//
//	exits CODE args…    easymicro with these arguments; stdout and stderr check its output
//	serve args…         a host in the background, also serve gateway args…; sets $ADDR and $EASYMICRO_ADMIN
//	screen REGEXP       waits for a match on the screen of the host, after the previous match
//	log REGEXP          waits for a match in its log
//	send SIGNAL         sends the host a signal: TERM, INT or HUP
//	ended CODE          waits for the host to end
//	absent TEXT         fails if the text is on the screen
//	once TEXT           fails unless the text is on the screen exactly once
//	junit TEXT          fails unless the report says so: NAME: N of M failed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serve, "screen": onScreen, "log": inLog, "send": send, "ended": ended, "absent": absent, "once": once, "junit": readJUnit,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(9 * time.Minute), // under the race detector each command takes most of a second
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec("easymicro", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("easymicro %v exits with %d, want %d", args[1:], got, want)
	}
}

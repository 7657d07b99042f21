package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childArgument is the argument of a child process.
const childArgument = "__policytest"

// IsChild reports whether the process, by its arguments, is to call Child.
func IsChild(args []string) bool { return len(args) == 2 && args[1] == childArgument }

// message is what a child sends: a suite, or the error of Run.
type message struct {
	Suite *Suite `json:"suite,omitempty"`
	Error string `json:"error,omitempty"`
}

// Child runs the policy tests that Spawn asks for, and exits. It runs them in a test of package testing, since synctest, whose
// clock they need, runs nowhere else.
func Child() {
	out := json.NewEncoder(os.Stdout)
	os.Args, os.Stdout = os.Args[:1], os.Stderr // package testing reads the one and writes to the other
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "policies", F: func(t *testing.T) {
		var o Options
		err := json.NewDecoder(os.Stdin).Decode(&o)
		if err == nil {
			err = Run(t, &o, func(s *Suite) { _ = out.Encode(message{Suite: s}) })
		}
		if err != nil {
			_ = out.Encode(message{Error: err.Error()})
		}
	}}}, nil, nil)
}

// Spawn runs policy tests in a child process, which runs this program again: its main must call Child if IsChild. The process has the
// handlers that Default of package registry has there.
func Spawn(ctx context.Context, o *Options, each func(*Suite)) error {
	if IsChild(os.Args) { // each child would start another
		return errors.New("policy tests run in a child process of this program, whose main calls neither cli.Main nor policytest.Child")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	request, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, childArgument) //nolint:gosec // it is this program
	var crash bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(request), &crash
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	received := receive(out, each)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case received != nil:
		return received
	case err != nil:
		return fmt.Errorf("the policy tests crashed, which is a bug of easymicro: %w: %s", err, strings.TrimSpace(crash.String()))
	}
	return nil
}

// receive reads messages up to the end of the stream.
func receive(r io.Reader, each func(*Suite)) error {
	for d := json.NewDecoder(r); ; {
		var m message
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("policy tests: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		case m.Suite != nil:
			each(m.Suite)
		}
	}
}

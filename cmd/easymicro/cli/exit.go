package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1 // something went wrong
	ExitUsage       = 2 // flags or arguments are wrong
	ExitProblems    = 3 // problems were found in the files
	ExitUnreachable = 4 // the host cannot be reached
	ExitAnswered    = 5 // the host, or the called service, answered with an error
)

// exitError is an error with an exit code, and the problems in files that are behind it.
type exitError struct {
	code     int
	err      error
	problems config.Problems
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

func failed(format string, args ...any) error {
	return &exitError{code: ExitFailed, err: fmt.Errorf(format, args...)}
}

// errorView is an error as -o json shows it.
type errorView struct {
	ExitCode     int             `json:"exit_code"`
	Message      string          `json:"message"`
	Code         string          `json:"code,omitempty"`
	Reason       string          `json:"reason,omitempty"`
	Rule         string          `json:"rule,omitempty"`
	Host         string          `json:"host,omitempty"`
	RetryAfterMS int64           `json:"retry_after_ms,omitempty"`
	Help         string          `json:"help,omitempty"`
	Problems     config.Problems `json:"problems,omitempty"`
}

// report tells on Err what went wrong, and returns the exit code for it.
func (a *app) report(err error) int {
	if err == nil {
		return ExitOK
	}
	v := errorView{ExitCode: ExitFailed, Message: err.Error()}
	var exit *exitError
	if errors.As(err, &exit) {
		v.ExitCode, v.Problems = exit.code, exit.problems
	}
	v.add(err)
	if a.output != outputJSON {
		for _, p := range v.Problems.Errors() {
			a.note("%s", p)
		}
		a.note("easymicro: %s", v.text())
		return v.ExitCode
	}
	e := json.NewEncoder(a.io.Err)
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]errorView{"error": v})
	return v.ExitCode
}

// add adds what a service or a host said besides its message.
func (v *errorView) add(err error) {
	var called *code.Error
	if errors.As(err, &called) && v.ExitCode == ExitAnswered {
		v.Message, v.Code, v.Reason, v.Rule, v.Host = called.Message, called.Code.String(), called.Reason, called.Rule, called.Host
		v.RetryAfterMS = called.RetryAfter.Milliseconds()
	}
	var answered *admin.Error
	if errors.As(err, &answered) {
		v.Message, v.Code, v.Help = answered.Detail, answered.Code, answered.Help
	}
}

// text is the message with its code, if a service said one, and with what to do about it.
func (v *errorView) text() string {
	text := v.Message
	if _, ok := code.Parse(v.Code); ok && !strings.HasPrefix(text, v.Code) {
		text = v.Code + ": " + text
	}
	if v.Help != "" {
		text += " (" + v.Help + ")"
	}
	return text
}

// loadError gives the problems of a set that is to be served their exit code. Other errors pass.
func (a *app) loadError(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	errs := problems.Errors()
	return &exitError{ExitFailed, fmt.Errorf("%s: %s", a.manifest, count(len(errs), "problem")), errs}
}

package cli

import (
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
	ExitFailed      = 1
	ExitUsage       = 2 // wrong flags or arguments
	ExitProblems    = 3 // problems in the files
	ExitUnreachable = 4 // the host or service cannot be reached
	ExitAnswered    = 5 // the host or service answered with an error
)

// exitError is an error with an exit code and the problems in files that caused it.
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

// report writes an error to stderr and returns its exit code.
func report(p *printer, err error) int {
	if err == nil {
		return ExitOK
	}
	v := errorView{ExitCode: ExitFailed, Message: err.Error()}
	if exit, ok := errors.AsType[*exitError](err); ok {
		v.ExitCode, v.Problems = exit.code, exit.problems
	}
	v.add(err)
	if p.format != formatJSON {
		for _, problem := range v.Problems.Errors() {
			p.note("%s", problem.Text())
		}
		p.note("easymicro: %s", v.text())
		return v.ExitCode
	}
	_ = writeJSON(p.err, map[string]errorView{"error": v}, "")
	return v.ExitCode
}

// plainText returns an error with the problems that caused it, a line each.
func plainText(err error) string {
	var lines []string
	if exit, ok := errors.AsType[*exitError](err); ok {
		for _, p := range exit.problems.Errors() {
			lines = append(lines, p.Text())
		}
	}
	return strings.Join(append(lines, err.Error()), "\n")
}

// add copies the details of an error returned by a service or a host.
func (v *errorView) add(err error) {
	if called, ok := errors.AsType[*code.Error](err); ok && v.ExitCode == ExitAnswered {
		v.Message, v.Code, v.Reason, v.Rule, v.Host = called.Message, called.Code.String(), called.Reason, called.Rule, called.Host
		v.RetryAfterMS = called.RetryAfter.Milliseconds()
	}
	if v.ExitCode == ExitAnswered && strings.Contains(v.Message, "this port requires TLS") {
		v.Help = "use --tls, and --ca unless the system trusts the CA of the service"
	}
	if answered, ok := errors.AsType[*admin.Error](err); ok {
		v.Message, v.Code, v.Help = answered.Detail, answered.Code, answered.Help
	}
}

// text returns the message with the service's code and the host's hint.
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

// loadError adds the exit code to problems in the manifest to serve. Other errors are returned unchanged.
func loadError(manifest string, err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	errs := problems.Errors()
	return &exitError{ExitFailed, fmt.Errorf("%s: %s", manifest, count(len(errs), "problem")), errs}
}

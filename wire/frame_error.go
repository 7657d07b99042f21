package wire

import (
	"fmt"

	"github.com/easymicro/easymicro/wire/code"
)

// FrameError is what is wrong with a frame.
//
// A frame that is malformed is fatal and cannot be answered: where the next one begins is a guess. A frame that is
// sound but exceeds a limit (names, metadata, length) can be answered, since its sequence, type, codec and flags have
// been read; it has been skipped, and reading can go on.
type FrameError struct {
	Reason string      // why, from a small fixed set: a label of metrics
	Answer *code.Error // what to tell the caller; nil when there is nobody to tell
	Fatal  bool        // the connection cannot be read on

	detail string
}

// The reasons of a FrameError.
const (
	badMagic         = "bad_magic"
	badLength        = "bad_length"
	badMetadata      = "bad_metadata"
	tooLarge         = "too_large"
	nameTooLong      = "name_too_long"
	metadataTooLarge = "metadata_too_large"
)

func (e *FrameError) Error() string { return "bad frame: " + e.detail }

// Unwrap is the answer, so that code.From gives the frame's code.
func (e *FrameError) Unwrap() error {
	if e.Answer == nil {
		return nil
	}
	return e.Answer
}

func badFrame(reason, format string, args ...any) *FrameError {
	return &FrameError{Reason: reason, Fatal: true, detail: fmt.Sprintf(format, args...)}
}

func overLimit(reason, format string, args ...any) *FrameError {
	detail := fmt.Sprintf(format, args...)
	return &FrameError{
		Reason: reason,
		Answer: code.Refuse(code.ResourceExhausted, code.ReasonTooLarge, detail, "", "", 0),
		detail: detail,
	}
}

func tooManyPairs(most int) *FrameError {
	return overLimit(metadataTooLarge, "metadata has more than %d pairs", most)
}

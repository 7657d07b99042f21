//go:build !unix

package handover

import (
	"os"
	"syscall"
)

// FileOf returns an error.
func FileOf(syscall.Conn) (*os.File, error) { return nil, ErrUnsupported }

func inherited(uintptr, string) (*os.File, error) { return nil, ErrUnsupported }

func restoreErrors(int) (*os.File, error) { return nil, ErrUnsupported }

//go:build !unix

package handover

import "os"

func inherited(uintptr, string) (*os.File, error) { return nil, ErrUnsupported }

func restoreErrors(int) (*os.File, error) { return nil, ErrUnsupported }

//go:build !unix

package cli

import "os"

// notifyReplace does nothing: there is no such signal.
func notifyReplace(chan<- os.Signal) {}

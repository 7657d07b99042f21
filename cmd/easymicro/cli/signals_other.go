//go:build !unix

package cli

import "os"

// notifyReplace does nothing: this system has no SIGUSR2.
func notifyReplace(chan<- os.Signal) {}

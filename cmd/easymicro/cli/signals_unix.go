//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReplace relays the signal that requests a hand-over.
func notifyReplace(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR2) }

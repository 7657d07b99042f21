package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// confined is set in a process that has its part of the processors.
const confined = "EASYMICRO_OVERLOAD_CONFINED"

// hostCores returns how many of n processors the host has; the client has the others.
func hostCores(n int) int { return max(n/2, 1) }

// confine gives this process the processors of the host (0) or of the client (1), so that neither takes time from the other. It
// starts the program again, so that the runtime knows. A machine with one processor is shared.
func confine(part int) error {
	var all, own unix.CPUSet
	if os.Getenv(confined) != "" {
		return nil
	}
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	if all.Count() < 2 {
		return nil
	}
	runtime.LockOSThread()
	seen := 0
	for cpu := 0; seen < all.Count(); cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if (seen < hostCores(all.Count())) == (part == 0) {
			own.Set(cpu)
		}
		seen++
	}
	if err := unix.SchedSetaffinity(0, &own); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), confined+"="+strconv.Itoa(part))) //nolint:gosec // itself
}

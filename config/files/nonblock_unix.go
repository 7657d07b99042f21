//go:build unix

package files

import "syscall"

const nonblock = syscall.O_NONBLOCK // a pipe that took the file's place meanwhile is opened at once too

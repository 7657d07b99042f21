// Package machine reports how much memory and how many file descriptors the machine leaves to this process.
package machine

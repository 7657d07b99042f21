// Package machine tells what memory and how many descriptors the machine leaves to this process.
package machine

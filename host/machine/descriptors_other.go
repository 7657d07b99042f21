//go:build !unix

package machine

// Descriptors returns 0: this system has no such limit.
func Descriptors() int { return 0 }

// Descriptor returns -1: this system has no such numbers.
func Descriptor(any) int { return -1 }

// OutOfDescriptors returns false: this system has no such limit.
func OutOfDescriptors(error) bool { return false }

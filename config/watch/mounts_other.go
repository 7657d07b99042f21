//go:build !linux

package watch

func mountinfo() string { return "" }

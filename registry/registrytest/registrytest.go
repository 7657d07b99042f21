// Package registrytest opens one handler and calls its methods, for unit tests of handlers without a host.
package registrytest

package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is tcp://host:port, unix://path, systemd:NAME, host:port or :port.
type Address string

// errListenOnly is returned by Split for an address that can only be listened on.
var errListenOnly = errors.New("names a socket that systemd passes: it cannot be called, and the address depends on its .socket unit")

const addressForms = "tcp://host:port, unix://path, host:port or :port"

// isPath reports whether text looks like the path of a file.
func isPath(text string) bool {
	return strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") || strings.HasSuffix(text, ".sock")
}

const systemdScheme = "systemd:"

// Listen returns what Split does, or systemd and the name of the socket for an address that can only be listened on.
func (a Address) Listen() (network, address string, err error) {
	name, passed := strings.CutPrefix(string(a), systemdScheme)
	switch {
	case !passed:
		return a.Split()
	case name == "" || strings.ContainsAny(name, ":/ \t"):
		return "", "", fmt.Errorf("%s is not systemd:NAME: NAME is FileDescriptorName= of the .socket unit, by default the name of the unit", clip(string(a)))
	}
	return "systemd", name, nil
}

// Split returns the arguments for net.Listen and net.Dial: tcp and host:port, or unix and a path, which is relative
// to the manifest's directory unless it is absolute.
func (a Address) Split() (network, address string, err error) {
	s := string(a)
	switch {
	case strings.HasPrefix(s, systemdScheme):
		return "", "", fmt.Errorf("%s %w", clip(s), errListenOnly)
	case strings.HasPrefix(s, "unix://"):
		path := strings.TrimPrefix(s, "unix://")
		if path == "" {
			return "", "", errors.New("unix:// needs a path after it")
		}
		return "unix", path, nil
	case strings.HasPrefix(s, "tcp://"):
		s = strings.TrimPrefix(s, "tcp://")
	case strings.Contains(s, "://"):
		scheme, _, _ := strings.Cut(s, "://")
		return "", "", fmt.Errorf("unsupported scheme %s://: want %s", scheme, addressForms)
	}
	if s == "" {
		return "", "", errors.New("is empty: " + addressForms)
	}
	if isPath(s) && s == string(a) {
		return "", "", fmt.Errorf("%q is a path (did you mean unix://%s?)", s, s)
	}
	if !strings.Contains(s, ":") {
		if _, err := strconv.Atoi(s); err == nil {
			return "", "", errors.New(portAlone(s))
		}
		return "", "", fmt.Errorf("%q has no port: %s", s, addressForms)
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", fmt.Errorf("%q is not host:port (an IPv6 host is written in brackets: [::1]:8972)", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return "tcp", s, nil
}

// portAlone returns how to write an address that is only a port.
func portAlone(text string) string {
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("%s is not an address: write a host and a port, such as \"127.0.0.1:8972\"", clip(text))
	}
	return fmt.Sprintf("%s has no host: write \"127.0.0.1:%[1]s\", or \":%[1]s\" for every address of this machine", text)
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	network, address, err := a.Split()
	if err != nil {
		return false
	}
	if network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// callable returns what is wrong with the address of an endpoint, and a key that equal endpoints share.
func (a Address) callable() (key, wrong string) {
	network, address, err := a.Split()
	if err == nil && network == "tcp" {
		err = dialable(address)
	}
	switch {
	case errors.Is(err, errListenOnly):
		return "", string(a) + " is an address to listen on, not to call"
	case err != nil:
		return "", err.Error()
	}
	return network + " " + address, ""
}

// sameHost normalizes the spellings of a host that need no lookup.
func sameHost(host string) string {
	host = strings.ToLower(host)
	if host == "localhost" {
		return "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || (err == nil && ip.Unmap().IsUnspecified()):
		return "*"
	case err == nil:
		return ip.Unmap().String()
	}
	return host
}

func (a Address) valid() bool {
	_, _, err := a.Split()
	return err == nil
}

// dialable returns an error if host:port cannot be dialled.
func dialable(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", clip(address))
	}
	n, err := strconv.Atoi(port)
	switch {
	case err != nil || n < 0 || n > 65535:
		return fmt.Errorf("port %q is not a number from 1 to 65535", clip(port))
	case sameHost(host) == "*":
		return fmt.Errorf("%s has no host: an endpoint needs one", clip(address))
	case n == 0:
		return fmt.Errorf("%s cannot be called: its port is 0", clip(address))
	case strings.ContainsAny(host, " \t/@?#"):
		return fmt.Errorf("%q is not a host name", clip(host))
	}
	return nil
}

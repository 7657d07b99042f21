package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of the metadata that a service is published with: it is read by every caller.
const (
	maxMetadataPairs = 32
	maxMetadataKey   = 128
	maxMetadataValue = 1024
	maxWeight        = 1_000_000
)

// register checks that what a host publishes can be reached.
func (c *checker) register(path string, e *Etcd) {
	if e.Register == nil {
		return
	}
	if a := e.Register.Advertise; a != "" {
		if strings.Contains(a, "://") {
			c.manifest(path+".advertise", "must be host:port without ://").Suggestion = a[strings.Index(a, "://")+3:]
		} else if err := dialable(a); err != nil {
			c.manifest(path+".advertise", "%s", err)
		}
		return
	}
	l := c.set.Manifest.PublishedListener()
	if l == nil {
		c.manifest(path, "there is no listener for rpcx over TCP to publish: add one, or say advertise: host:port")
		return
	}
	network, address, err := l.Address.Split()
	if err != nil || network != "tcp" {
		return // reported already
	}
	switch host, _, _ := net.SplitHostPort(address); {
	case sameHost(host) == "*":
		c.manifest(path, "advertise is required: listener %s is at every address of the machine (%s)", l.Name, l.Address)
	case l.Address.Loopback() && !c.localCluster(e):
		c.manifest(path, "listener %s is at %s, which other machines cannot reach: say advertise", l.Name, l.Address).Warning = true
	}
}

// localCluster tells that a cluster is on this machine, as those of tests and samples are.
func (c *checker) localCluster(e *Etcd) bool {
	return !slices.ContainsFunc(e.Endpoints, func(text string) bool {
		_, at, _ := strings.Cut(text, "://")
		return !Address(strings.TrimSuffix(at, "/")).Loopback()
	})
}

// PublishedListener is the listener whose address is published when nothing else is said: the first for rpcx over TCP.
func (m *Manifest) PublishedListener() *Listener {
	for i := range m.Listeners {
		l := &m.Listeners[i]
		if network, _, err := l.Address.Split(); err == nil && network == "tcp" && slices.Contains(l.Protocols, "rpcx") {
			return l
		}
	}
	return nil
}

// Registers tells whether some discovery publishes this host.
func (m *Manifest) Registers() bool {
	return m.Discovery != nil && slices.ContainsFunc(m.Discovery.Etcd, func(e Etcd) bool { return e.Register != nil })
}

// IsPublished tells whether a service of the manifest is published.
func (m *Manifest) IsPublished(s *Service) bool {
	return m.Registers() && (s.Publish == nil || *s.Publish)
}

// published checks what a service says of discovery.
func (c *checker) published(path string, s *Service) {
	m := c.set.Manifest
	if s.Publish != nil && *s.Publish && !m.Registers() {
		c.manifest(path+".publish", "there is nowhere to publish it: no discovery.etcd has register")
	}
	if len(s.Metadata) > maxMetadataPairs {
		c.manifest(path+".metadata", "has %d pairs: at most %d are published", len(s.Metadata), maxMetadataPairs)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		value, at := s.Metadata[key], path+".metadata."+key
		switch {
		case key == "" || strings.ContainsAny(key, " \t") || !printable(key, maxMetadataKey):
			c.manifest(path+".metadata", "the key %q must be 1 to %d printable characters without blanks", clip(key), maxMetadataKey)
		case !printable(value, maxMetadataValue):
			c.manifest(at, "must be at most %d printable characters", maxMetadataValue)
		case key == "weight" && !isWeight(value):
			c.manifest(at, "must be a whole number from 1 to %d, not %q", maxWeight, clip(value))
		}
	}
}

func isWeight(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= maxWeight
}

// printable tells that text is fit for logs and screens, and not longer than most bytes.
func printable(text string, most int) bool {
	return len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// uses checks that the upstreams of a service exist.
func (c *checker) uses(path string, s *Service) {
	known := c.set.Manifest.UpstreamNames()
	for _, client := range slices.Sorted(maps.Keys(s.Uses)) {
		upstream, at := s.Uses[client], fmt.Sprintf("%s.uses.%s", path, client)
		switch {
		case slices.Contains(known, upstream):
		case len(known) == 0:
			c.manifest(at, "there are no upstreams in this manifest")
		default:
			c.manifest(at, "there is no upstream %s", clip(upstream)).Suggestion = Suggest(upstream, known)
		}
	}
}

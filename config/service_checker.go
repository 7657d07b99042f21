package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// serviceChecker checks what is served, and to whom.
type serviceChecker struct{ *report }

func (c serviceChecker) check() {
	c.auth()
	c.services()
}

func (c serviceChecker) auth() {
	a := &c.set.Manifest.Auth
	for i, way := range a.Identify {
		if slices.Index(a.Identify, way) < i {
			c.manifest(fmt.Sprintf("auth.identify[%d]", i), "%s is listed twice", way)
		}
	}
	usesTokens := slices.Contains(a.Identify, "token")
	if usesTokens && a.Tokens == nil {
		c.manifest("auth.identify", "token needs auth.tokens.file")
	}
	if !usesTokens && a.Tokens != nil {
		c.manifest("auth.tokens", "is not used: auth.identify does not have token").Warning = true
	}
}

func (c serviceChecker) services() {
	var exact, folded names
	m := c.set.Manifest
	if len(m.Services) == 0 && m.Gateway.Remote == nil {
		c.manifest("services", "no services: nothing is served").Warning = true
	}
	use := func(path, name string) {
		at := m.Position(path)
		first, taken := exact.taken(name, at)
		if taken {
			c.manifest(path, "the name %s is taken by %s", name, first)
			return
		}
		if first, taken := folded.taken(strings.ToLower(name), at); taken {
			c.manifest(path, "%s differs from the name in %s by case only: callers that write names in lower case reach neither", name, first).Warning = true
		}
	}
	for i, s := range m.Services {
		path := fmt.Sprintf("services[%d]", i)
		use(path+".name", s.Name)
		for j, alias := range s.Aliases {
			use(fmt.Sprintf("%s.aliases[%d]", path, j), alias)
		}
		c.uses(path, &m.Services[i])
		c.published(path, &m.Services[i])
		if s.Methods.Expose != nil && len(s.Methods.Expose) == 0 {
			c.manifest(path+".methods.expose", "is empty, which exposes nothing: leave the key out to expose all methods")
		}
	}
}

// Bounds of the metadata that a service is published with: it is read by every caller.
const (
	maxMetadataPairs = 32
	maxMetadataKey   = 128
	maxMetadataValue = 1024
	maxWeight        = 1_000_000
)

// published checks what a service says of discovery.
func (c serviceChecker) published(path string, s *Service) {
	m := c.set.Manifest
	if s.Publish != nil && *s.Publish && !m.Registers() {
		c.manifest(path+".publish", "cannot be published: no discovery.etcd has register")
	}
	if len(s.Metadata) > maxMetadataPairs {
		c.manifest(path+".metadata", "has %d pairs: at most %d are published", len(s.Metadata), maxMetadataPairs)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		value, at := s.Metadata[key], path+".metadata."+key
		switch {
		case key == "" || strings.ContainsAny(key, " \t") || !printable(key, maxMetadataKey):
			c.manifest(path+".metadata", "the key %q must be 1 to %d printable characters without whitespace", clip(key), maxMetadataKey)
		case !printable(value, maxMetadataValue):
			c.manifest(at, "must be at most %d printable characters", maxMetadataValue)
		case key == "weight" && !isWeight(value):
			c.manifest(at, "must be an integer from 1 to %d, not %q", maxWeight, clip(value))
		}
	}
}

func isWeight(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= maxWeight
}

// uses checks that the upstreams of a service exist.
func (c serviceChecker) uses(path string, s *Service) {
	known := c.set.Manifest.UpstreamNames()
	for _, client := range slices.Sorted(maps.Keys(s.Uses)) {
		upstream, at := s.Uses[client], fmt.Sprintf("%s.uses.%s", path, client)
		switch {
		case slices.Contains(known, upstream):
		case len(known) == 0:
			c.manifest(at, "this manifest has no upstreams")
		default:
			c.manifest(at, "this manifest has no upstream %s", clip(upstream)).Suggestion = Suggest(upstream, known)
		}
	}
}

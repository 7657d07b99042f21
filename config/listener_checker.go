package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/config/lint"
)

// listenerChecker checks listeners, the admin and health addresses, and telemetry.
type listenerChecker struct{ *report }

func (c listenerChecker) check() {
	c.listeners()
	c.addresses()
	c.certificates()
	c.metrics()
	c.traces()
	c.operators()
}

// endpoint is an address of the host in a comparable form.
type endpoint struct {
	path    string // path of the field
	text    Address
	network string
	host    string // or the path of a socket; * for every address of the machine
	port    int
}

// addresses checks the addresses of the host for conflicts.
func (c listenerChecker) addresses() {
	m := c.m
	var all []endpoint
	for i, l := range m.Listeners {
		all = append(all, endpoint{path: fmt.Sprintf("listeners[%d].address", i), text: l.Address})
	}
	all = append(all, endpoint{path: "admin.address", text: m.Admin.Address}, endpoint{path: "health.address", text: m.Health.Address})
	// Defaults first: a conflict with a default is reported at the address that is written.
	slices.SortStableFunc(all, func(a, b endpoint) int { return cmp.Compare(c.given(a.path), c.given(b.path)) })
	var taken []endpoint
	for _, e := range all {
		if !c.locate(&e) {
			continue
		}
		if i := slices.IndexFunc(taken, e.conflicts); i >= 0 {
			c.manifest(lint.AddressTaken, e.path, "%s is taken by %s", e.text, c.owner(&taken[i], e.text))
			continue
		}
		taken = append(taken, e)
	}
}

// given returns 0 for a default, 1 for a value that is set.
func (c listenerChecker) given(path string) int {
	m := c.m
	if m.Written(path) || m.sources[path] != "" {
		return 1
	}
	return 0
}

// owner names the field that has the address, its position, and its text if that differs.
func (c listenerChecker) owner(e *endpoint, text Address) string {
	where := "default"
	if c.given(e.path) == 1 {
		where = c.m.Position(e.path).String()
	}
	if e.text != text {
		return fmt.Sprintf("%s %s (%s)", e.path, e.text, where)
	}
	return fmt.Sprintf("%s (%s)", e.path, where)
}

// locate completes e. It returns false if e is off, invalid, or cannot conflict.
func (c listenerChecker) locate(e *endpoint) bool {
	if e.text == "" && !strings.HasPrefix(e.path, "listeners") {
		return false // off
	}
	network, address, err := e.text.Listen()
	if err != nil {
		c.manifest(lint.BadSetting, e.path, "%s", err)
		return false
	}
	e.network = network
	if network == "systemd" {
		e.host = address
		return true
	}
	if network == "unix" {
		if e.host = filepath.Clean(address); !filepath.IsAbs(address) {
			e.host = filepath.Join(c.dir, address)
		}
		return true
	}
	host, port, _ := net.SplitHostPort(address)
	e.host = sameHost(host)
	e.port, _ = strconv.Atoi(port)
	return e.port != 0
}

// conflicts reports whether a host cannot listen on both.
func (e *endpoint) conflicts(other endpoint) bool {
	if e.network != other.network || e.port != other.port {
		return false
	}
	return e.host == other.host || (e.network == "tcp" && (e.host == "*" || other.host == "*"))
}

func (c listenerChecker) listeners() {
	var byName names
	m := c.m
	for i, l := range m.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		if first, taken := byName.taken(l.Name, m.Position(path+".name")); taken {
			c.manifest(lint.NameTaken, path+".name", "the name %s is taken by the listener in %s", l.Name, first)
		} else if l.Name == AdminListener || l.Name == HealthListener {
			c.manifest(lint.NameTaken, path+".name", "the name %s is taken by the listener of %[1]s.address: metrics and logs use it", l.Name)
		}
		if len(l.Protocols) == 0 {
			c.manifest(lint.Empty, path+".protocols", "is empty: a listener speaks rpcx, http or both")
		}
		if p := l.ProxyProtocol; p != nil && len(p.From) == 0 && m.Written(path+".proxyProtocol.from") {
			c.manifest(lint.Empty, path+".proxyProtocol.from", "is empty: name the networks of the balancers, or leave proxyProtocol out")
		}
		if l.Limits.MaxDecompressedBytes < l.Limits.MaxMessageBytes {
			c.manifest(lint.Contradiction, path+".limits.maxDecompressedBytes",
				"%s is below maxMessageBytes (%s)", l.Limits.MaxDecompressedBytes, l.Limits.MaxMessageBytes)
		}
		one := l.Limits.MaxMessageBytes + l.Limits.MaxDecompressedBytes
		if limit := m.Host.Limits.MaxBufferedBytes; limit > 0 && limit < 2*one {
			c.manifest(lint.FewBuffers, "host.limits.maxBufferedBytes", "%s is less than two of the largest calls of listener %s (maxMessageBytes and "+
				"maxDecompressedBytes, %s): such calls are refused while others are served; write at least %s, or lower those",
				limit, l.Name, one, 2*one)
		}
	}
}

// certificates checks that what verifies the certificates of clients is complete.
func (c listenerChecker) certificates() {
	for _, t := range c.m.ServerTLS() {
		switch {
		case t.ClientAuth == ClientAuthNone && t.ClientCAFile != "":
			c.manifest(lint.NeedsOther, t.Path+".clientCAFile", "is not used: write clientAuth: require, or request")
		case t.ClientAuth != ClientAuthNone && t.ClientCAFile == "":
			c.manifest(lint.NeedsOther, t.Path+".clientAuth", "%s needs clientCAFile, the CA that signs the certificates of clients", t.ClientAuth)
		}
	}
}

func (c listenerChecker) operators() {
	m := c.m
	if m.Admin.Address == "" || m.Admin.NeedsToken() || m.Admin.Address.Loopback() {
		return
	}
	if network, _, err := m.Admin.Address.Listen(); err == nil && network == "systemd" {
		c.manifest(lint.OpenAdmin, "admin.address", "%s may be reached from other machines: that needs admin.tokens or admin.tokenFile", m.Admin.Address)
	} else if err == nil {
		c.manifest(lint.OpenAdmin, "admin.address", "%s can be reached from other machines: that needs admin.tokens or admin.tokenFile", m.Admin.Address)
	}
}

// metrics checks that the metrics path is free on the admin and health listeners.
func (c listenerChecker) metrics() {
	const field = "telemetry.metrics.path"
	at := c.m.Telemetry.Metrics.Path
	bare := strings.TrimSuffix(at, "/")
	switch {
	case !strings.HasPrefix(at, "/"): // reported already
	case reservedPath(bare):
		c.manifest(lint.BadSetting, field, "%s is reserved: the admin and health listeners need /, /livez, /readyz, /healthz, /api and /debug themselves", clip(at))
	case strings.ContainsAny(at, "%?#"):
		c.manifest(lint.BadSetting, field, "must be a plain path without %%, ? and #, not %q", clip(at))
	case path.Clean(bare) != bare:
		c.manifest(lint.BadSetting, field, "%q cannot be requested", clip(at)).Suggestion = path.Clean(bare)
	}
}

func reservedPath(bare string) bool {
	bare = path.Clean("/" + bare)
	switch first, _, _ := strings.Cut(bare[1:], "/"); first {
	case "api", "debug":
		return true
	}
	return bare == "/" || bare == "/livez" || bare == "/readyz" || bare == "/healthz"
}

func (c listenerChecker) traces() {
	t := c.m.Telemetry.Traces
	_, err := t.OTLP()
	if err == nil {
		return
	}
	p := c.manifest(lint.BadSetting, "telemetry.traces.otlpEndpoint", "%s", err)
	scheme, rest, ok := strings.Cut(t.OTLPEndpoint, "://")
	if _, known := otlpSchemes[strings.ToLower(scheme)]; !ok || known {
		return
	}
	if meant := Suggest(scheme, slices.Sorted(maps.Keys(otlpSchemes))); meant != "" {
		p.Suggestion = meant + "://" + withoutUser(rest)
	}
}

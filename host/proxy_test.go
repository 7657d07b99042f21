package host_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// headerV2 writes a PROXY header of version 2 by hand: command and family are its thirteenth and fourteenth byte, block is
// all that stands behind its length.
func headerV2(command, family byte, block []byte) string {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n")
	b = append(b, command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(block)))
	return string(append(b, block...))
}

// fromTo are the addresses of such a header.
func fromTo(from, to string) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	block := append(a.Addr().AsSlice(), b.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(block, a.Port()), b.Port())
}

// sayRaw writes the pieces one by one and returns what the host says until it closes.
func sayRaw(t *testing.T, address string, pieces ...string) string {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			return "" // it was closed by then
		}
	}
	got, _ := io.ReadAll(c) // a reset is an end, too
	return string(got)
}

const (
	mulOverHTTP = "POST /Arith/Mul HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"A\":6,\"B\":7}"
	v1Header    = "PROXY TCP4 203.0.113.9 10.0.0.1 4711 8972\r\n"
)

// mulOverRPCX is a call whose connection is closed by its caller; the answer comes first.
func mulOverRPCX(t *testing.T, address, header string) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	frame := wire.AppendFrame([]byte(header), &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Seq: 7, Payload: []byte(`{"A":6,"B":7}`)})
	_, err = c.Write(frame)
	must(t, err)
	var res wire.Frame
	if err := wire.NewReader(c, wire.Limits{}).Read(&res); err != nil {
		return "", err
	}
	if e := wire.ErrorOf(&res); e != nil {
		return "", e
	}
	return string(res.Payload), nil
}

const proxiedManifest = `
listeners: [{name: main, address: "127.0.0.1:0", %s}]
services: [{name: Arith, handler: test.arith, accessLog: true}]
policies: {rules: [{name: known, match: {service: Arith}, access: {allow: [{caller: "*"}]}}, {name: strangers, match: {service: Arith, peer: 127.0.0.0/8}, access: {deny: [{caller: "*"}]}}]}
`

func TestTheClientOfABalancerIsThePeer(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(proxiedManifest, `proxyProtocol: {from: ["127.0.0.0/8"]}`),
		hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	v6 := fromTo("[2001:db8::7]:4711", "[fd00::1]:8972")
	for _, tc := range []struct {
		name   string
		header string
		peer   string // "": the balancer itself, whom a rule denies
	}{
		{"v1 TCP4", v1Header, "203.0.113.9"},
		{"v1 TCP6", "PROXY TCP6 2001:db8::9 fd00::1 4711 8972\r\n", "2001:db8::9"},
		{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", ""},
		{"v1 UNKNOWN with more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""},
		{"v2 TCP4", headerV2(0x21, 0x11, fromTo("198.51.100.4:4711", "10.0.0.1:8972")), "198.51.100.4"},
		{"v2 TCP6", headerV2(0x21, 0x21, v6), "2001:db8::7"},
		{"v2 with more", headerV2(0x21, 0x21, append(append([]byte{}, v6...), "\xee\x00\x03abc"...)), "2001:db8::7"},
		{"v2 LOCAL", headerV2(0x20, 0x00, nil), ""},
		{"v2 LOCAL with addresses", headerV2(0x20, 0x11, fromTo("198.51.100.5:1", "10.0.0.1:2")), ""},
		{"v2 PROXY of an unknown family", headerV2(0x21, 0x00, nil), ""},
		{"v2 of a unix client", headerV2(0x21, 0x31, make([]byte, 216)), ""},
	} {
		before := len(log.String())
		got := sayRaw(t, h.Address, tc.header+mulOverHTTP)
		answer, err := mulOverRPCX(t, h.Address, tc.header)
		if tc.peer == "" {
			if !strings.Contains(got, " 403 ") || err == nil || !strings.Contains(err.Error(), "strangers") {
				t.Errorf("%s: it is not the balancer that calls: %q, %s %v", tc.name, got, answer, err)
			}
			continue
		}
		if !strings.Contains(got, " 200 ") || !strings.Contains(got, `{"C":42}`) || err != nil || answer != `{"C":42}` {
			t.Errorf("%s: %q, %s %v", tc.name, got, answer, err)
		}
		if said := log.String()[before:]; strings.Count(said, "peer="+tc.peer) != 2 {
			t.Errorf("%s: the access log says %s", tc.name, said)
		}
	}
}

func TestAProxyHeaderMayComeInPieces(t *testing.T) {
	h := hosttest.Start(t, fmt.Sprintf(proxiedManifest, `proxyProtocol: {from: ["127.0.0.0/8"]}`), hosttest.Options{Registry: newPlant(t).reg})
	for _, header := range []string{v1Header, headerV2(0x21, 0x11, fromTo("198.51.100.4:4711", "10.0.0.1:8972"))} {
		if got := sayRaw(t, h.Address, strings.Split(header+mulOverHTTP, "")...); !strings.Contains(got, `{"C":42}`) {
			t.Errorf("%q: %q", header, got)
		}
	}
}

func TestAConnectionWithoutARequiredProxyHeaderIsRefused(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(proxiedManifest, `proxyProtocol: {from: ["127.0.0.0/8"]}`),
		hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	for _, tc := range []struct{ name, sent, reason string }{
		{"HTTP", mulOverHTTP, "no_proxy_header"},
		{"rpcx", "\x08\x00\x00\x00", "no_proxy_header"},
		{"nearly", "PROPFIND / HTTP/1.1\r\n\r\n", "no_proxy_header"},
		{"junk", "PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n", "bad_proxy_header"},
		{"no address", "PROXY TCP4 name 10.0.0.1 4711 8972\r\n", "bad_proxy_header"},
		{"another family", "PROXY TCP4 ::1 ::1 4711 8972\r\n", "bad_proxy_header"},
		{"no port", "PROXY TCP4 1.2.3.4 10.0.0.1 99999 8972\r\n", "bad_proxy_header"},
		{"no end", "PROXY " + strings.Repeat("x", 200), "bad_proxy_header"},
		{"no CR", "PROXY TCP4 1.2.3.4 10.0.0.1 1 2\n" + mulOverHTTP, "bad_proxy_header"},
		{"too long", headerV2(0x21, 0x11, make([]byte, 5000)), "bad_proxy_header"},
		{"too short", headerV2(0x21, 0x11, []byte{1, 2, 3, 4}), "bad_proxy_header"},
		{"another version", headerV2(0x31, 0x11, make([]byte, 12)), "bad_proxy_header"},
		{"datagrams", headerV2(0x21, 0x12, make([]byte, 12)), "bad_proxy_header"},
		{"twice", v1Header + v1Header + mulOverHTTP, "proxy_header"},
	} {
		if got := sayRaw(t, h.Address, tc.sent); got != "" {
			t.Errorf("%s: answered with %q", tc.name, got)
		}
		eventually(t, tc.name+" is told", func() bool {
			text := log.String()
			return strings.Contains(text, "reason="+tc.reason) && strings.Contains(text, "proxyProtocol.from")
		})
	}
	if got := sayRaw(t, h.Address, v1Header+mulOverHTTP); !strings.Contains(got, `{"C":42}`) {
		t.Errorf("then a good one: %q", got)
	}
}

// A balancer that opens a connection and says nothing delays no other, and one that only probes is not logged.
func TestASlowProxyHeaderDelaysNoOtherConnection(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(proxiedManifest, `proxyProtocol: {from: ["127.0.0.0/8"]}, limits: {firstByteTimeout: 2s}`),
		hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	looking, err := net.Dial("tcp", h.Address)
	must(t, err)
	must(t, looking.Close())
	var slow []net.Conn
	for _, begin := range []string{"", "PROXY TC", v1Header, headerV2(0x21, 0x11, make([]byte, 12))[:15]} {
		c, err := net.Dial("tcp", h.Address)
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, begin)
		must(t, err)
		slow = append(slow, c)
	}
	if got := sayRaw(t, h.Address, v1Header+mulOverHTTP); !strings.Contains(got, `{"C":42}`) {
		t.Errorf("%q", got)
	}
	for i, c := range slow {
		must(t, c.SetDeadline(time.Now().Add(patience)))
		if got, err := io.ReadAll(c); len(got) > 0 || isTimeout(err) {
			t.Errorf("slow connection %d: %q %v", i, got, err)
		}
	}
	eventually(t, "they are told", func() bool { return strings.Contains(log.String(), "reason=first_byte_timeout") })
	if strings.Contains(log.String(), "proxy_header") {
		t.Errorf("told: %s", log.String())
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestThePeersThatMaySendProxyHeadersAreLive(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(proxiedManifest, `proxyProtocol: {from: ["10.0.0.0/8"]}`),
		hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	if got := sayRaw(t, h.Address, v1Header+mulOverHTTP); got != "" {
		t.Errorf("of a stranger: %q", got)
	}
	eventually(t, "the header is told", func() bool {
		text := log.String()
		return strings.Contains(text, "reason=proxy_header") && strings.Contains(text, "listeners[].proxyProtocol.from")
	})
	if got := sayRaw(t, h.Address, headerV2(0x20, 0, nil)+mulOverHTTP); got != "" {
		t.Errorf("of a stranger, version 2: %q", got)
	}
	h.Edit("easymicro.yaml", "10.0.0.0/8", "127.0.0.1")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	if got := sayRaw(t, h.Address, v1Header+mulOverHTTP); !strings.Contains(got, `{"C":42}`) {
		t.Errorf("after the edit: %q", got)
	}
	h.Edit("easymicro.yaml", `, proxyProtocol: {from: ["127.0.0.1"]}`, "")
	h.Revision()
	if got := sayRaw(t, h.Address, mulOverHTTP); !strings.Contains(got, " 403 ") {
		t.Errorf("without the field: %q", got)
	}
}

// nginx on the same machine connects over a unix socket, or is connected to by a balancer.
func TestPeersBehindAUnixSocketHaveTheirAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, manifest string
		sent           string
		denied         bool
	}{
		{"untrusted", "", "X-Forwarded-For: 203.0.113.9\r\n", true},
		{"trusted", "auth: {trustedProxies: [unix]}\n", "X-Forwarded-For: 203.0.113.9\r\n", false},
		{"trusted, several", "auth: {trustedProxies: [unix, 10.0.0.0/8]}\n", "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.1.1\r\n", false},
		{"trusted, another", "auth: {trustedProxies: [unix]}\n", "X-Forwarded-For: 203.0.113.9, 198.51.100.1\r\n", true},
		{"trusted, nonsense", "auth: {trustedProxies: [unix]}\n", "X-Forwarded-For: unknown\r\n", true},
	} {
		h := hosttest.Start(t, `
listeners:
  - {name: main, address: "127.0.0.1:0"}
  - {name: local, address: "unix://l.sock"}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: one, match: {service: Arith, peer: 203.0.113.9}, rateLimit: {rate: 1, per: 1h, burst: 1, key: peer}}]}
`+tc.manifest, hosttest.Options{Registry: newPlant(t).reg})
		request := strings.Replace(mulOverHTTP, "Connection: close\r\n", "Connection: close\r\n"+tc.sent, 1)
		first := sayRaw(t, h.Dir+"/l.sock", request)
		second := sayRaw(t, h.Dir+"/l.sock", request)
		if !strings.Contains(first, " 200 ") || strings.Contains(second, " 429 ") == tc.denied {
			t.Errorf("%s: %q, %q", tc.name, first, second)
		}
	}
}

func TestALimitPerTenantGoesByAPlainHeader(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}]
gateway: {metadata: {x-tenant: X-Tenant}}
policies: {rules: [{name: tenants, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1, key: metadata.x-tenant}}]}
`, hosttest.Options{Registry: newPlant(t).reg})
	for _, tc := range []struct {
		header, value string
		status        int
	}{
		{"X-Tenant", "a", 200},
		{"x-tenant", "a", 429},
		{"Easymicro-Meta", "x-tenant=a", 429},
		{"Easymicro-Meta", "X-Tenant=a", 429},
		{"X-Tenant", "b", 200},
		{"X-RPCX-Meta", "X-TENANT=b", 429},
		{"Easymicro-Meta", "X-tenant=c", 200},
		{"X-Tenant", "c", 429},
	} {
		if r, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`, tc.header, tc.value); r.StatusCode != tc.status {
			t.Errorf("%s: %s: %d %s", tc.header, tc.value, r.StatusCode, body)
		}
	}
	h.Edit("easymicro.yaml", "x-tenant: X-Tenant", "x-tenant: X-Org")
	h.Revision()
	for value, status := range map[string]int{"a": 429, "d": 200} {
		if r, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`, "X-Org", value); r.StatusCode != status {
			t.Errorf("after the edit, %s: %d %s", value, r.StatusCode, body)
		}
	}
}

// Without a header that becomes it, metadata keeps the spelling of its caller; a limit goes by the name whatever its case.
func TestNamesOfMetadataOverHTTPAreOneWhateverTheirCase(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: tenants, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1, key: metadata.x-tenant}}]}
`, hosttest.Options{Registry: newPlant(t).reg})
	for _, tc := range []struct {
		meta   string
		status int
	}{{"X-Tenant=a", 200}, {"x-tenant=a", 429}, {"X-TENANT=a&x-tenant=b", 429}, {"x-tenant=b", 200}, {"X-tenanT=b", 429}} {
		if r, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`, "Easymicro-Meta", tc.meta); r.StatusCode != tc.status {
			t.Errorf("%s: %d %s", tc.meta, r.StatusCode, body)
		}
	}
}

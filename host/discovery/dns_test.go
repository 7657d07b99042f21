package discovery

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// nameServer answers DNS queries over UDP.
type nameServer struct {
	conn net.PacketConn

	mu        sync.Mutex
	addresses map[string][]string // by host
	services  map[string][]net.SRV
	broken    bool // every query fails
	silent    bool // queries are not answered
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	must(t, err)
	s := &nameServer{conn: conn, addresses: map[string][]string{}, services: map[string][]net.SRV{}}
	var running sync.WaitGroup
	running.Go(s.serve)
	t.Cleanup(func() { _ = conn.Close(); running.Wait() })
	return s
}

func (s *nameServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// options returns options for frequent lookups at this server.
func (s *nameServer) options() DNSOptions {
	return DNSOptions{Every: 10 * time.Millisecond, Timeout: 1500 * time.Millisecond, Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
			udp, ok := c.(*net.UDPConn)
			if err != nil || !ok {
				return nil, fmt.Errorf("dial: %w", err)
			}
			return impatient{udp}, nil
		},
	}}
}

// impatient times out soon: the resolver continues for 5 s after its context has ended.
type impatient struct{ *net.UDPConn }

func (c impatient) SetDeadline(time.Time) error {
	return c.UDPConn.SetDeadline(time.Now().Add(400 * time.Millisecond))
}

func (s *nameServer) serve() {
	query := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(query)
		if err != nil {
			return
		}
		if a := s.answer(query[:n]); a != nil {
			_, _ = s.conn.WriteTo(a, from)
		}
	}
}

const (
	typeA, typeAAAA, typeSRV = 1, 28, 33
	serverFailure, nameError = 2, 3
)

// answer returns the response (RFC 1035) to a query with one question.
func (s *nameServer) answer(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(query) < 12 || s.silent {
		return nil
	}
	name, end := readName(query, 12)
	kind := binary.BigEndian.Uint16(query[end:])
	var records [][]byte
	for _, a := range s.addresses[name] {
		if ip := netip.MustParseAddr(a); ip.Is4() == (kind == typeA) && kind != typeSRV {
			records = append(records, ip.AsSlice())
		}
	}
	if kind == typeSRV {
		for _, r := range s.services[name] {
			data := binary.BigEndian.AppendUint16(nil, r.Priority)
			data = binary.BigEndian.AppendUint16(data, r.Weight)
			data = binary.BigEndian.AppendUint16(data, r.Port)
			records = append(records, appendName(data, r.Target))
		}
	}
	code := 0
	switch {
	case s.broken:
		code, records = serverFailure, nil
	case s.addresses[name] == nil && s.services[name] == nil:
		code = nameError
	}
	m := append([]byte(nil), query[:2]...)
	m = append(m, 0x84, byte(code), 0, 1, 0, byte(len(records)), 0, 0, 0, 0)
	m = append(m, query[12:end+4]...)
	for _, data := range records {
		m = append(m, 0xc0, 12) // the name of the question
		m = binary.BigEndian.AppendUint16(m, kind)
		m = append(m, 0, 1, 0, 0, 0, 1)
		m = binary.BigEndian.AppendUint16(m, uint16(len(data)))
		m = append(m, data...)
	}
	return m
}

func readName(m []byte, at int) (name string, end int) {
	var labels []string
	for m[at] != 0 {
		n := int(m[at])
		labels = append(labels, string(m[at+1:at+1+n]))
		at += n + 1
	}
	return strings.Join(labels, "."), at + 1
}

func appendName(m []byte, name string) []byte {
	for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
		if label != "" {
			m = append(append(m, byte(len(label))), label...)
		}
	}
	return append(m, 0)
}

func names(t *testing.T, name string, o DNSOptions) client.Resolver {
	t.Helper()
	n, err := DNS(name, o)
	must(t, err)
	return n
}

func TestAHostHasAnEndpointForEachAddressAndIsLookedUpAgain(t *testing.T) {
	s := newNameServer(t)
	s.set(func() { s.addresses["billing.test"] = []string{"10.0.0.2", "10.0.0.1", "fd00::1"} })
	ch := updates(t, names(t, "billing.test:8972", s.options()))
	want(t, ch, "tcp@10.0.0.1:8972 tcp@10.0.0.2:8972 tcp@[fd00::1]:8972")
	s.set(func() { s.addresses["billing.test"] = []string{"10.0.0.1", "10.0.0.2", "fd00::1"} }) // another order is not an update
	s.set(func() { s.addresses["billing.test"] = []string{"10.0.0.3"} })
	want(t, ch, "tcp@10.0.0.3:8972")
}

func TestSRVUsesPortsWeightsAndTheLowestPriority(t *testing.T) {
	for _, name := range []string{"_rpcx._tcp.billing.test", "srv://_rpcx._tcp.billing.test", "plain.test", "srv://plain.test"} {
		s := newNameServer(t)
		s.set(func() {
			records := []net.SRV{
				{Target: "backup.test.", Port: 1, Priority: 20, Weight: 100},
				{Target: "b.test.", Port: 8973, Priority: 10, Weight: 0},
				{Target: "a.test.", Port: 8972, Priority: 10, Weight: 70},
			}
			s.services["_rpcx._tcp.billing.test"], s.services["plain.test"] = records, records
		})
		ch := updates(t, names(t, name, s.options()))
		a := next(t, ch)
		if a.String() != "tcp@a.test:8972 tcp@b.test:8973" || a.list[0].Weight != 70 || a.list[1].Weight != 1 {
			t.Errorf("%s: %+v", name, a)
		}
		s.set(func() {
			s.services["_rpcx._tcp.billing.test"] = []net.SRV{{Target: ".", Priority: 1}}
			s.services["plain.test"] = s.services["_rpcx._tcp.billing.test"]
		})
		want(t, ch, "") // RFC 2782: "." means that the service does not exist
	}
}

func TestALookupThatFailsKeepsTheList(t *testing.T) {
	for name, fail := range map[string]func(*nameServer){
		"server failure": func(s *nameServer) { s.broken = true },
		"no answer":      func(s *nameServer) { s.silent = true },
		"no such name":   func(s *nameServer) { delete(s.addresses, "billing.test") },
		"no addresses":   func(s *nameServer) { s.addresses["billing.test"] = []string{} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newNameServer(t)
			s.set(func() { s.addresses["billing.test"] = []string{"10.0.0.1"} })
			ch := updates(t, names(t, "billing.test:8972", s.options()))
			want(t, ch, "tcp@10.0.0.1:8972")
			s.set(func() { fail(s) })
			if a := next(t, ch); a.err == nil || a.list != nil || !strings.HasPrefix(a.err.Error(), "dns billing.test: ") {
				t.Fatalf("unexpected update %v", a)
			}
			s.set(func() {
				s.broken, s.silent = false, false
				s.addresses["billing.test"] = []string{"10.0.0.1"}
			})
			for a := next(t, ch); a.err != nil || a.String() != "tcp@10.0.0.1:8972"; a = next(t, ch) { // the error is resolved
				if a.err == nil {
					t.Fatalf("unexpected update %v", a)
				}
			}
		})
	}
}

func TestInvalidNamesAreRefused(t *testing.T) {
	for _, name := range []string{"", "srv://", "billing:", ":8972", "billing:http", "billing:0", "billing:65536", "srv://billing:8972", "http://billing", "a b"} {
		if _, err := DNS(name, DNSOptions{}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

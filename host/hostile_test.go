package host_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

type list struct{}

// Len takes what a msgpack claim of four billion elements would have to fill.
func (list) Len(_ context.Context, a *[]int, r *reply) error {
	r.C = len(*a)
	return nil
}

// Big answers with 64 KiB.
func (list) Big(_ context.Context, _ *args, r *[]string) error {
	*r = []string{strings.Repeat("x", 64<<10)}
	return nil
}

// TestHostilePeersAreCutOffWithoutEffectOnOthers is the whole list of the attacks at once, beside callers who have no
// part in it.
func TestHostilePeersAreCutOffWithoutEffectOnOthers(t *testing.T) {
	p := newPlant(t)
	registry.Plain(list{}, registry.In(p.reg), registry.As("test.list"))
	h := hosttest.Start(t, `
listeners: [{name: main, address: "127.0.0.1:0", limits: {firstByteTimeout: 3s}}]
services: [{name: Arith, handler: test.arith}, {name: List, handler: test.list}]
`, hosttest.Options{Registry: p.reg})
	for range 10 { // what a first call costs is not the attackers'
		must(t, healthyCall(h))
	}
	theBomb()
	before := heapInUse()
	callers := beWell(t, h)
	var peak atomic.Uint64
	watching, stopWatching := context.WithCancel(t.Context())
	var watched sync.WaitGroup
	watched.Go(func() { watchHeap(watching, &peak) })

	var attacks sync.WaitGroup
	for name, attack := range map[string]func(*hosttest.Host) error{
		"five bytes of msgpack": fiveBytes,
		"a claim of 4 GiB":      hugeClaims,
		"a gzip bomb":           gzipBomb,
		"10,000 pairs":          manyPairs,
		"silent peers":          silentPeers,
		"a peer without eyes":   neverReads,
	} {
		attacks.Go(func() {
			if err := attack(h); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	attacks.Wait()
	stopWatching()
	watched.Wait()
	callers.stop()
	after := heapInUse()
	eventually(t, "nothing of it stays behind", func() bool {
		after = heapInUse()
		return after < before+8<<20
	})
	t.Logf("%d healthy calls, slowest %v; heap %d KiB before, %d KiB peak, %d KiB after", callers.count.Load(),
		time.Duration(callers.slowest.Load()).Round(time.Millisecond), before>>10, peak.Load()>>10, after>>10)
	if peak.Load() > before+192<<20 && !raceEnabled {
		t.Errorf("the heap grew to %d MiB", peak.Load()>>20)
	}
	metrics := scrape(t, h)
	for _, reason := range []string{"first_byte_timeout", "too_large"} {
		if !strings.Contains(metrics, `easymicro_wire_errors_total{reason="`+reason+`"}`) {
			t.Errorf("no metric tells of %s", reason)
		}
	}
}

func watchHeap(ctx context.Context, peak *atomic.Uint64) {
	for ctx.Err() == nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak.Store(max(peak.Load(), m.HeapAlloc))
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func healthyCall(h *hosttest.Host) error {
	c, err := wire.Dial(context.Background(), "tcp", h.Address, wire.ConnOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	var r reply
	return hosttest.CallJSON(context.Background(), c, "Arith", "Mul", args{2, 3}, &r)
}

// healthy callers call on connections of their own until they are stopped.
type healthy struct {
	ending  atomic.Bool
	count   atomic.Int64
	slowest atomic.Int64
	callers sync.WaitGroup
}

func beWell(t *testing.T, h *hosttest.Host) *healthy {
	t.Helper()
	c := new(healthy)
	for i := range 4 {
		conn := h.Dial()
		c.callers.Go(func() {
			for !c.ending.Load() {
				begin := time.Now()
				var r reply
				err := hosttest.CallJSON(context.Background(), conn, "Arith", "Mul", args{i, 3}, &r)
				if err != nil || r.C != 3*i {
					t.Errorf("a healthy call: %d, %v", r.C, err)
					return
				}
				took := time.Since(begin)
				c.slowest.Store(max(c.slowest.Load(), int64(took)))
				c.count.Add(1)
				if took > slack*10*time.Second {
					t.Errorf("a healthy call took %v", took)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return c
}

func (c *healthy) stop() {
	c.ending.Store(true)
	c.callers.Wait()
}

// attacker is a connection that is patient, but not for ever.
func attacker(h *hosttest.Host) (net.Conn, error) {
	c, err := net.Dial("tcp", h.Address)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(slack * patience))
}

// refusal sends a frame and reads the error that answers it.
func refusal(h *hosttest.Host, f *wire.Frame) (*code.Error, error) {
	frame := wiretest.Bytes(f)
	c, err := attacker(h)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	var res wire.Frame
	if err := wire.NewReader(c, wire.Limits{}).Read(&res); err != nil {
		return nil, err
	}
	return wire.ErrorOf(&res), nil
}

func refusedBy(h *hosttest.Host, f *wire.Frame, reason string) error {
	e, err := refusal(h, f)
	if err != nil || e == nil || e.Reason != reason {
		return errors.Join(err, fmt.Errorf("answered %s, want %s", text(e), reason))
	}
	return nil
}

func text(e *code.Error) string {
	if e == nil {
		return "no error"
	}
	return e.Error()
}

func fiveBytes(h *hosttest.Host) error {
	payload := []byte{0xdd, 0xff, 0xff, 0xff, 0xff}
	for _, method := range []string{"Len", "Big"} {
		if err := refusedBy(h, wiretest.Request(1, "List", method, wire.Msgpack, payload), code.ReasonBadPayload); err != nil {
			return err
		}
	}
	res, body, err := h.TryPost("/List/Len", string(payload), "Content-Type", "application/msgpack")
	if err == nil && res.StatusCode != 400 {
		err = fmt.Errorf("over HTTP %s %s", res.Status, body)
	}
	return err
}

// hugeClaims says that 4 GiB follow, of which nothing comes: that is waited for, as long as the peer does not end.
func hugeClaims(h *hosttest.Host) error {
	head := make([]byte, wire.HeaderBytes)
	head[0] = wire.Magic
	binary.BigEndian.PutUint32(head[12:], 0xffffffff)
	for range 200 {
		c, err := attacker(h)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write(head); err != nil {
			return err
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		if err := cutOff(c); err != nil {
			return err
		}
	}
	return nil
}

// cutOff reads until the host closes the connection.
func cutOff(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("it is not cut off")
	}
	return nil
}

// theBomb is 256 MiB of zeros.
var theBomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	return b.Bytes()
})

func gzipBomb(h *hosttest.Host) error {
	bomb := theBomb()
	f := wiretest.Request(1, "Arith", "Mul", wire.JSON, bomb)
	f.Compression = wire.Gzip
	if err := refusedBy(h, f, code.ReasonTooLarge); err != nil {
		return err
	}
	res, body, err := h.TryPost("/Arith/Mul", string(bomb), "Content-Encoding", "gzip")
	if err == nil && res.StatusCode != 413 && res.StatusCode != 415 {
		err = fmt.Errorf("over HTTP %s %s", res.Status, body)
	}
	return err
}

func manyPairs(h *hosttest.Host) error {
	f := wiretest.Request(1, "Arith", "Mul", wire.JSON, []byte("{}"))
	for i := range 10_000 {
		f.Metadata = append(f.Metadata, [2]string{fmt.Sprintf("key-%d", i), "v"})
	}
	e, err := refusal(h, f)
	if err == nil && (e == nil || e.Code != code.ResourceExhausted) {
		err = errors.New("answered " + text(e))
	}
	return err
}

func silentPeers(h *hosttest.Host) error {
	var conns []net.Conn
	for range 100 {
		c, err := attacker(h)
		if err != nil {
			return err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		if err := cutOff(c); err != nil {
			return err
		}
	}
	return nil
}

// neverReads asks for 64 KiB 500 times and takes none of it. What the host holds for it is bounded by its calls in flight.
func neverReads(h *hosttest.Host) error {
	c, err := attacker(h)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range 500 {
		if _, err := c.Write(wiretest.Bytes(wiretest.Request(uint64(i), "List", "Big", wire.JSON, []byte("{}")))); err != nil {
			return nil // it was cut off already
		}
	}
	// The host has closed the connection once writing fails; reading would be what this peer does not do.
	for beat := wiretest.Bytes(wiretest.Heartbeat(1)); ; {
		if _, err := c.Write(beat); errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("it is not cut off")
		} else if err != nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

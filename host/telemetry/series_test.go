package telemetry

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

// series counts the lines of easymicro's metrics in a scrape.
func series(t *testing.T, m *Metrics) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(ours(scrape(t, m))) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// A peer may call any name over any transport, send any first byte and fail in any way.
func TestAMillionNamesFromPeersCreateNoSeries(t *testing.T) {
	m := busy(t)
	routes := map[string]*MethodMetrics{"Arith/Mul": m.Method("Arith", "Mul", "rpcx")}
	flood := func(n int) {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		for range n {
			name := strconv.FormatUint(random.Uint64(), 36)
			mm, ok := routes["Arith/"+name]
			if !ok {
				mm = m.Other(name)
			}
			mm.Done(traffic.Here(), code.Code(random.Uint32()), time.Millisecond)
			m.WireError(name)
			m.WireError(strings.Map(letter, name))
			m.Connections("main", name).Inc()
		}
	}
	flood(2000)
	before := series(t, m)
	names := 1_000_000
	if testing.Short() {
		names = 50_000
	}
	flood(names)
	if after := series(t, m); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if before > 600 {
		t.Errorf("%d series are more than the labels allow", before)
	}
}

// letter returns a name that looks like a reason of the program.
func letter(r rune) rune {
	if r >= '0' && r <= '9' {
		return 'a' + r - '0'
	}
	return r
}

func TestOddTextInALabelDoesNotFailTheScrape(t *testing.T) {
	m := New(Options{Source: func(e *Emitter) { e.LimiterKeys("r\xfe"+strings.Repeat("x", 1000), "enforce", 1) }})
	m.Reloaded(Reload{Result: "applied", Revision: 7})
	m.Method("Sch\xf6n", "M\nul", "rpcx").Done(traffic.Here(), code.OK, 0)
	m.Connections("li\xffstener", "http").Inc()
	text := scrape(t, m)
	if !strings.Contains(text, "easymicro_config_revision 7") || !strings.Contains(text, "easymicro_limiter_keys{mode=\"enforce\",rule=\"r\uFFFD") {
		t.Errorf("scrape is broken:\n%s", ours(text))
	}
}

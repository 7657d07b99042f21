package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

func TestTheSourceIsCalledOnlyByScrapes(t *testing.T) {
	var asked atomic.Int32
	m := New(Options{Source: func(*Emitter) { asked.Add(1) }})
	m.Method("Arith", "Mul", "rpcx").Done(traffic.Here(), code.OK, 0)
	if asked.Load() != 0 {
		t.Error("asked without a scrape")
	}
	scrape(t, m)
	if asked.Load() != 1 {
		t.Errorf("asked %d times by one scrape", asked.Load())
	}
}

func TestASourceThatEmitsTwiceCountsOnce(t *testing.T) {
	m := New(Options{Source: func(e *Emitter) {
		e.LimiterKeys("a", "enforce", 1)
		e.LimiterKeys("a", "enforce", 2)
		e.BreakerState("a", "enforce", "x", "open")
		e.BreakerState("a", "enforce", "x", "closed")
	}})
	text := scrape(t, m)
	wantLine(t, text, `easymicro_limiter_keys{mode="enforce",rule="a"} 1`)
	wantLine(t, text, `easymicro_breaker_state{mode="enforce",rule="a",state="open",target="x"} 1`)
}

func TestAPanickingSourceCostsOnlyItsOwnMetrics(t *testing.T) {
	m := New(Options{Source: func(*Emitter) { panic("out of order") }})
	m.Reloaded(Reload{Result: "applied", Revision: 7})
	wantLine(t, scrape(t, m), "easymicro_config_revision 7")
}

func TestHangingScrapersDoNotBlockCalls(t *testing.T) {
	entered, release := make(chan struct{}, 8), make(chan struct{})
	m := New(Options{Source: func(*Emitter) {
		entered <- struct{}{}
		<-release
	}})
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if res, err := srv.Client().Get(srv.URL); err == nil {
				res.Body.Close()
			}
		})
	}
	for range 4 {
		<-entered
	}

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	called := make(chan struct{})
	go func() {
		defer close(called)
		for range 1000 {
			m.Method("Arith", "Mul", "rpcx").Done(traffic.Here(), code.Aborted, 0)
			m.WireError("bad_magic")
		}
	}()
	select {
	case <-called:
	case <-ctx.Done():
		t.Error("a call waits for a scraper")
	}
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the fifth scraper got %s", res.Status)
	}
	close(release)
	wg.Wait()
	if !strings.Contains(scrape(t, m), "Arith/Mul") {
		t.Error("the calls were not counted")
	}
}

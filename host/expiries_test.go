package host

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
)

func TestExpiriesAreReportedOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		day := 24 * time.Hour
		var mu sync.Mutex
		var told []string
		x := &expiries{report: func(e config.Expiry, over bool) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s%s over=%t day %v", e.Rule, e.Caller, over, time.Since(begin).Hours()/24))
		}}
		want := func(what string, lines ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, lines) {
				t.Errorf("%s: told %q, want %q", what, told, lines)
			}
			told = nil
		}
		set := &config.Set{
			Rules: []config.Rule{
				{Name: "past", Expires: begin.Add(-day)},
				{Name: "soon", Expires: begin.Add(2 * day)},
				{Name: "far", Expires: begin.Add(30 * day)},
				{Name: "off", Mode: config.Off, Expires: begin.Add(3 * day)},
			},
			Tokens: []config.Token{{Caller: "web", Expires: begin.Add(10 * day)}},
		}
		x.follow(set)
		want("what is past or near is told by the warnings of the set")
		time.Sleep(day)
		x.follow(set) // a reload reports nothing and drops nothing
		time.Sleep(day)
		want("the second day", "soon over=true day 2")
		time.Sleep(day)
		want("seven days before the tenth", "web over=false day 3")
		for range 40 {
			time.Sleep(6 * time.Hour)
			x.follow(set)
		}
		want("reloads all the time", "web over=true day 10")
		time.Sleep(20 * day)
		want("without any", "far over=false day 23", "far over=true day 30")

		last := begin.Add(40 * day)
		x.follow(&config.Set{Rules: []config.Rule{{Name: "last", Expires: last}, {Name: "gone", Expires: last.Add(day)}}})
		time.Sleep(7 * day)
		x.follow(&config.Set{}) // at the very moment
		want("the moment of a reload", "gone over=false day 34", "last over=true day 40")
		time.Sleep(30 * day)
		want("a rule that is gone")

		x.follow(&config.Set{Rules: []config.Rule{{Name: "end", Expires: time.Now().Add(time.Minute)}}})
		x.close()
		time.Sleep(day)
		want("a host that has ended")
	})
}

// Tokens are often issued by the thousand, and expire together.

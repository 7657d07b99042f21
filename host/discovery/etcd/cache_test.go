package etcd

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// found returns a cache with these keys, in both layouts.
func found(t *testing.T, keys map[string]string) *cache {
	t.Helper()
	layouts, err := newLayouts([]string{"easymicro", "rpcx"}, "")
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(2, 50, 30*time.Second, false, slog.New(slog.DiscardHandler))
	for i, l := range layouts {
		parsed := map[string]node{}
		for key, value := range keys {
			if n, ok := l.parse(key, []byte(value)); ok {
				parsed[key] = n
			}
		}
		c.replace(start, i, parsed)
	}
	return c
}

func TestNamesMatchExactlyOrElseIgnoringCase(t *testing.T) {
	ours := func(service string) string { return `{"Service":"` + service + `"}` }
	for name, c := range map[string]struct {
		keys   map[string]string
		lookup string
		want   string
	}{
		"exact":                          {map[string]string{"services/arith/a:1": ours("Arith")}, "Arith", "a:1"},
		"in another case":                {map[string]string{"services/arith/a:1": ours("Arith")}, "aRITH", "a:1"},
		"unknown":                        {map[string]string{"services/arith/a:1": ours("Arith")}, "Math", ""},
		"the original has no exact name": {map[string]string{"services/arith/a:1": ""}, "Arith", "a:1"},
		"the original beside ours":       {map[string]string{"services/arith/a:1": "", "services/arith/b:1": ours("Arith")}, "Arith", "a:1 b:1"},
		"exact before another case": {
			map[string]string{"rpcx/Arith/tcp@a:1": "", "rpcx/ARITH/tcp@b:1": ""}, "ARITH", "b:1",
		},
		"not unique": {map[string]string{"rpcx/Arith/tcp@a:1": "", "rpcx/ARITH/tcp@b:1": ""}, "arith", ""},
		"both layouts are one endpoint": {
			map[string]string{"services/arith/a:1": ours("Arith"), "rpcx/Arith/tcp@a:1": "weight=3"}, "Arith", "a:1",
		},
		"taken out in one of them": {
			map[string]string{"services/arith/a:1": ours("Arith"), "rpcx/Arith/tcp@a:1": "state=inactive"}, "Arith", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := found(t, c.keys).lookup(start, c.lookup)
			if got := shown(v.list); got != c.want || !v.known || v.err != nil {
				t.Errorf("%q, want %q; %+v", got, c.want, v)
			}
		})
	}
}

func TestMetadataOfBothLayoutsIsMerged(t *testing.T) {
	v := found(t, map[string]string{
		"services/arith/a:1": `{"Service":"Arith","Metadata":{"group":"blue"},"Host":"h1"}`,
		"rpcx/Arith/tcp@a:1": "weight=3&group=red",
	}).lookup(start, "Arith")
	if len(v.list) != 1 || v.list[0].Weight != 3 || v.list[0].Metadata["group"] != "blue" || v.list[0].host != "h1" {
		t.Errorf("%+v", v.list)
	}
}

func TestServicesAreNamedAsTheirHostsDo(t *testing.T) {
	list, _ := found(t, map[string]string{
		"services/arith/a:1": `{"Service":"Arith"}`, "services/arith/b:1": "", "services/echo/a:1": "",
		"rpcx/Time/tcp@a:1": "", "rpcx/TIME/tcp@b:1": "", "rpcx/Gone/tcp@b:1": "state=inactive", "rpcx/Empty": "Empty",
	}).all(start)
	var names []string
	for _, s := range list {
		names = append(names, s.name+"="+shown(s.list))
	}
	if got := strings.Join(names, ", "); got != "Arith=a:1 b:1, TIME=b:1, Time=a:1, echo=a:1" {
		t.Error(got)
	}
}

func TestADeletionIsKnownByItsKey(t *testing.T) {
	c := found(t, map[string]string{"services/arith/a:1": "", "services/arith/b:1": "", "services/arith/c:1": ""})
	c.edit(start, 0, map[string]*node{"services/arith/b:1": nil, "services/arith/unheard:1": nil})
	if got := shown(c.lookup(start, "arith").list); got != "a:1 c:1" {
		t.Error(got)
	}
}

func TestNamesOfLostEndpointsDoNotShadowLiveOnes(t *testing.T) {
	c := found(t, map[string]string{"rpcx/Arith/tcp@a:1": "", "rpcx/Echo/tcp@a:1": ""})
	renamed, _ := rpcxLayout{"rpcx"}.parse("rpcx/ARITH/tcp@a:2", nil)
	c.edit(start, 1, map[string]*node{"rpcx/Arith/tcp@a:1": nil, "rpcx/ARITH/tcp@a:2": &renamed, "rpcx/Echo/tcp@a:1": nil})
	for name, want := range map[string]string{"arith": "a:2", "ARITH": "a:2", "Arith": "(a:1)", "echo": "(a:1)"} {
		if got := shown(c.lookup(start, name).list); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	later := start.Add(time.Hour)
	if got := shown(c.lookup(later, "Arith").list); got != "a:2" {
		t.Errorf("when the old name is forgotten: %q", got)
	}
	if c.replace(later, 1, map[string]node{"rpcx/ARITH/tcp@a:2": renamed}); len(c.services) != 1 || len(c.services["arith"].recentlyGone) != 0 {
		t.Errorf("it keeps %v", c.services)
	}
}

func TestALeavingEndpointIsNotKept(t *testing.T) {
	for name, tc := range map[string]struct {
		marked map[string]string
		want   string // before anything is deleted
		after  string // once all marked keys are deleted
	}{
		"in both layouts": {map[string]string{
			"services/arith/a:1": `{"Service":"Arith","Leaving":true}`, "rpcx/Arith/tcp@a:1": "state=inactive&x-em-leaving=1",
		}, "", ""},
		"in one, as at a change of the manifest": {map[string]string{"rpcx/Arith/tcp@a:1": "state=inactive&x-em-leaving=1"}, "a:1", "a:1"},
		"in the other":                           {map[string]string{"services/arith/a:1": `{"Service":"Arith","Leaving":true}`}, "a:1", "a:1"},
		"by an operator":                         {map[string]string{"rpcx/Arith/tcp@a:1": "state=inactive"}, "", "a:1"},
		"but not inactive":                       {map[string]string{"rpcx/Arith/tcp@a:1": "x-em-leaving=1"}, "a:1", "a:1"},
		"not a bool inside":                      {map[string]string{"services/arith/a:1": `{"Service":"Arith","Leaving":"no"}`}, "a:1", "a:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := found(t, map[string]string{"services/arith/a:1": `{"Service":"Arith"}`, "rpcx/Arith/tcp@a:1": ""})
			layouts := []layout{easymicroLayout{"services/"}, rpcxLayout{"rpcx"}}
			for _, want := range []string{tc.want, tc.after} {
				for i, l := range layouts {
					for key, value := range tc.marked {
						if n, ok := l.parse(key, []byte(value)); ok && want == tc.want {
							c.edit(start, i, map[string]*node{key: &n})
						} else if ok {
							c.edit(start, i, map[string]*node{key: nil})
						}
					}
				}
				if got := shown(c.lookup(start, "Arith").list); got != want && tc.want != tc.after || got != want && want != "" {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
}

func TestAnErrorEmptiesNothing(t *testing.T) {
	c := found(t, map[string]string{"services/arith/a:1": "", "services/arith/b:1": ""})
	c.edit(start, 0, map[string]*node{"services/arith/a:1": nil, "services/arith/b:1": nil})
	c.fail(start.Add(time.Second), 0, errors.New("unreachable"))
	v := c.lookup(start.Add(time.Hour), "arith") // the clock does not advance
	if shown(v.list) != "(a:1) (b:1)" || v.err == nil || !v.expires.IsZero() {
		t.Errorf("%+v", v)
	}
	c.replace(start.Add(time.Hour), 0, map[string]node{})
	v = c.lookup(start.Add(time.Hour), "arith")
	if shown(v.list) != "(a:1) (b:1)" || v.err != nil || !v.expires.Equal(start.Add(time.Hour+30*time.Second)) {
		t.Errorf("back again: %+v", v)
	}
	if v := c.lookup(v.expires, "arith"); len(v.list) != 0 || !v.known {
		t.Errorf("in the end: %+v", v)
	}
}

func TestNothingIsKnownBeforeAllLayoutsAreListed(t *testing.T) {
	c := newCache(2, 50, time.Minute, false, slog.New(slog.DiscardHandler))
	if v := c.lookup(start, "Arith"); v.known {
		t.Errorf("%+v", v)
	}
	c.replace(start, 0, map[string]node{})
	if v := c.lookup(start, "Arith"); v.known {
		t.Errorf("one of two listed: %+v", v)
	}
	c.fail(start, 1, errors.New("denied"))
	if v := c.lookup(start, "Arith"); v.known || v.err == nil {
		t.Errorf("the other failed: %+v", v)
	}
	n, _ := easymicroLayout{"services/"}.parse("services/arith/a:1", nil)
	c.edit(start, 0, map[string]*node{"services/arith/a:1": &n})
	if v := c.lookup(start, "Arith"); !v.known || shown(v.list) != "a:1" {
		t.Errorf("what is found counts: %+v", v)
	}
}

func TestOnlyWatchersOfWhatChangedAreWoken(t *testing.T) {
	c := newCache(1, 50, time.Minute, false, slog.New(slog.DiscardHandler))
	c.replace(start, 0, map[string]node{})
	woken := map[string]chan struct{}{}
	for _, name := range []string{"", "arith", "echo"} {
		woken[name] = make(chan struct{}, 1)
		c.watchers[woken[name]] = name
	}
	n, _ := easymicroLayout{"services/"}.parse("services/arith/a:1", nil)
	names := func() []string {
		var list []string
		for name, ch := range woken {
			select {
			case <-ch:
				list = append(list, name)
			default:
			}
		}
		slices.Sort(list)
		return list
	}
	c.edit(start, 0, map[string]*node{"services/arith/a:1": &n})
	if got := names(); !slices.Equal(got, []string{"", "arith"}) {
		t.Errorf("woke %q", got)
	}
	c.replace(start, 0, map[string]node{"services/arith/a:1": n})
	if got := names(); got != nil {
		t.Errorf("a list that brings nothing new woke %q", got)
	}
	c.fail(start, 0, errors.New("unreachable"))
	if got := names(); len(got) != 3 {
		t.Errorf("a failure woke %q", got)
	}
}

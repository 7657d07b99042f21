package etcdtest_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
)

// gone reports whether a host is not in etcd, by the keys of its services.
func gone(server *etcdtest.Server, h *hosttest.Host) bool {
	for key := range server.Keys() {
		if strings.HasSuffix(key, "/"+h.Address) {
			return false
		}
	}
	return true
}

func TestADrainedHostIsWithdrawnWhateverIsEditedUntilItIsUndrained(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h1, _ := published(t, server.URL(), "h1", "Arith")
	h2, _ := published(t, server.URL(), "h2", "Arith")
	caller := calling(t, server.URL())
	registeredWithin(t, patience, server, h1, h2)
	calls := callSteadily(t, caller)

	for range 2 { // the second time nothing changes
		if exit, out, errs := easymicro(t, "drain", "--admin", h1.Admin.Address); exit != 0 || strings.Contains(out+errs, "warning") {
			t.Fatalf("%d %s%s", exit, out, errs)
		}
		if !gone(server, h1) {
			t.Fatalf("drained, and in etcd: %v", server.Keys())
		}
	}
	soon(t, "only the other host is called", func() bool {
		on := calls.answering()
		return len(on) == 1 && on[0] == "h2"
	})
	var r product
	if err := hosttest.CallJSON(t.Context(), h1.Dial(), "Arith", "Where", factors{}, &r); err != nil || r.On != "h1" {
		t.Errorf("a drained host does not serve: %+v, %v", r, err)
	}
	for _, edit := range [][2]string{
		{"{name: Arith,", "{name: Arith, aliases: [Maths], metadata: {weight: \"7\"},"},
		{"leaseTTL: 2s", "leaseTTL: 3s"}, // another connection to etcd
	} {
		h1.Edit("easymicro.yaml", edit[0], edit[1])
		if a := h1.Revision(); a.Result != host.ResultApplied {
			t.Fatalf("%v %s", a.Problems, a.Error)
		}
		s, err := h1.Admin.Status(t.Context())
		if err != nil || len(s.Discovery[0].Instances) > 0 || !gone(server, h1) {
			t.Errorf("published by an edit: %v, %v", err, server.Keys())
		}
	}

	if exit, out, errs := easymicro(t, "undrain", "--admin", h1.Admin.Address); exit != 0 {
		t.Fatalf("%d %s%s", exit, out, errs)
	}
	registeredWithin(t, patience, server, h1)
	if keys := server.Keys(); !strings.Contains(keys["services/maths/"+h1.Address], `"weight":"7"`) {
		t.Errorf("what was edited meanwhile is not published: %v", keys)
	}
	soon(t, "both hosts are called", func() bool { return len(calls.answering()) == 2 })

	// The same connection is used again, and the end of a drained host is as that of any other.
	for range 2 {
		drained, err := h1.Admin.Drain(t.Context())
		if err != nil || !drained.Changed || !gone(server, h1) {
			t.Fatalf("%+v, %v", drained, err)
		}
		if s, err := h1.Admin.Undrain(t.Context()); err != nil || !s.Changed {
			t.Fatalf("%+v, %v", s, err)
		}
		registeredWithin(t, patience, server, h1)
		soon(t, "status shows since when it is registered again", func() bool {
			s, err := h1.Admin.Status(t.Context())
			return err == nil && s.Ready && s.Discovery[0].RegisteredSince.After(drained.Drained.Since)
		})
	}
	if _, err := h1.Admin.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon(t, "only the other host is called", func() bool {
		on := calls.answering()
		return len(on) == 1 && on[0] == "h2"
	})
	h1.Stop()
	calls.end(t)
}

func TestAHostThatEtcdMayStillListSaysSoWhenItIsDrained(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h, _ := published(t, server.URL(), "h1", "Arith")
	registeredWithin(t, patience, server, h)
	server.Stop()
	exit, out, errs := easymicro(t, "drain", "--admin", h.Admin.Address)
	if exit != 0 || !strings.Contains(out, "drained: ") || !strings.Contains(out, "warning: not deregistered: callers find this host until its lease expires") {
		t.Errorf("%d %s%s", exit, out, errs)
	}
	server.Restart(true)
	exit, out, errs = easymicro(t, "undrain", "--admin", h.Admin.Address)
	if exit != 0 {
		t.Errorf("%d %s%s", exit, out, errs)
	}
	registeredWithin(t, patience, server, h)
}

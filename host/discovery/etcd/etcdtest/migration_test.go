package etcdtest_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples/fromrpcx" // fromrpcx.arith
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const fromRPCX = "../../../../samples/fromrpcx"

// migrated runs the sample fromrpcx unchanged, but with the test's etcd and port.
func migrated(t *testing.T, url string) *hosttest.Host {
	t.Helper()
	return hosttest.StartCopy(t, fromRPCX, hosttest.Options{}, "http://127.0.0.1:2379", url, `advertise: "127.0.0.1:8972", `, "",
		"files: [policies.yaml]\n", "files: [policies.yaml]\nhost: {shutdown: {drainDelay: 0s}}\n")
}

// Clients of rpcx, moved clients and clients of the original all find an rpcx server that has moved, and get their answers.
// When it ends it is removed at once.
func TestAServerThatHasMovedIsFoundByAllClients(t *testing.T) {
	s := etcdtest.Start(t)
	h := migrated(t, s.URL())
	ours := watch(t, cluster(t, etcd.Options{Endpoints: []string{s.URL()}, Layouts: []string{"easymicro", "rpcx"}}), "Arith")
	ours.want(h.Address)

	if got := s.Keys()["rpcx/Arith/tcp@"+h.Address]; got != "group=blue&weight=10" {
		t.Errorf("a client of rpcx finds %q in %v", got, s.Keys())
	}
	if got := s.Keys()["services/arith/"+h.Address]; !strings.HasPrefix(got, `{"Name":"arith","Addr":"`+h.Address+`","Network":"tcp"`) {
		t.Errorf("a client of the original finds %q", got)
	}
	for _, name := range []string{"msgpack-mul", "em-json-mul"} {
		answered(t, h.Address, wiretest.Recording(t, "../../../../wire/testdata/golden", name))
	}
	h.Edit("easymicro.yaml", "layouts: [easymicro, rpcx]", "layouts: [easymicro]") // the last step
	within(t, patience, "the keys of rpcx are withdrawn", func() bool {
		keys := s.Keys()
		return keys["rpcx/Arith/tcp@"+h.Address] == "" && keys["services/arith/"+h.Address] != ""
	})
	h.Drain()
	within(t, patience, "its keys are withdrawn", func() bool {
		keys := s.Keys()
		return keys["services/arith/"+h.Address] == ""
	})
	h.Stop()
}

func answered(t *testing.T, address string, c wiretest.Conversation) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := wiretest.NewPeer(t, conn)
	if _, err := p.Write(c.Frames[0].Bytes); err != nil {
		t.Fatal(err)
	}
	got, want := p.Receive(), c.Frames[1].Frame
	if err := wiretest.InKind(got, &want); err != nil {
		t.Error(err)
	}
	var g, w struct{ C int }
	for f, v := range map[*wire.Frame]any{got: &g, &want: &w} {
		if err := wire.Decode(f.Codec, f.Payload, v); err != nil {
			t.Error(err)
		}
	}
	if g != w {
		t.Errorf("%s: %v, want %v", c.Name, g, w)
	}
}

package cli_test

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// gateway starts a gateway without a reachable etcd, waits for its screen, and returns its admin address.
func gateway(t *testing.T, flags ...string) (admin, log string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	shown, logged, ended := newStream(), newStream(), make(chan struct{})
	exit := 0
	go func() {
		defer close(ended)
		exit = cli.Run(ctx, append([]string{"gateway", "--etcd", "http://127.0.0.1:1", "--screen", "on", "--listen", "127.0.0.1:0"}, flags...),
			cli.IO{In: strings.NewReader(""), Out: shown, Err: logged})
	}()
	at := shown.await(regexp.MustCompile(`admin http://(\S+)\n`), ended)
	stop()
	<-ended
	if at == nil {
		t.Fatalf("gateway %v: %s\n%s", flags, shown, logged)
	}
	if exit != 0 {
		t.Errorf("gateway %v ended with %d:\n%s", flags, exit, logged)
	}
	return at[1], logged.String()
}

// Another host uses the default admin address.
func TestGatewayUsesAFreeAdminPortIfTheDefaultIsInUse(t *testing.T) {
	const byDefault, note = "127.0.0.1:8970", "admin address 127.0.0.1:8970 is in use: using a free port (choose one with --admin-listen)"
	for {
		ln, err := net.Listen("tcp", byDefault)
		held := err == nil
		if held {
			defer ln.Close()
		}
		admin, log := gateway(t)
		if admin != byDefault && strings.Contains(log, note) {
			break
		}
		if held { // otherwise another process had the address, and freed it before the gateway began
			t.Fatalf("admin at %s\n%s", admin, log)
		}
	}
	want := wiretest.Address(t)
	if admin, log := gateway(t, "--admin-listen", want); admin != want || strings.Contains(log, note) {
		t.Errorf("admin at %s, want %s\n%s", admin, want, log)
	}
	t.Setenv("EASYMICRO_ADMIN_LISTEN", want)
	if admin, log := gateway(t); admin != want || strings.Contains(log, note) {
		t.Errorf("by a variable: admin at %s, want %s\n%s", admin, want, log)
	}
}

// The flag sets gateway.metadata, and problems name the flag.
func TestGatewayFlagMapsHeadersToMetadata(t *testing.T) {
	admin := wiretest.Address(t)
	if at, _ := gateway(t, "--admin-listen", admin, "--metadata", "x-tenant=X-Tenant", "--metadata", "region=X-Region"); at != admin {
		t.Errorf("admin at %s", at)
	}
	var shown, logged bytes.Buffer
	exit := cli.Run(t.Context(), []string{
		"gateway", "--etcd", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--metadata", "token=Authorization",
	}, cli.IO{In: strings.NewReader(""), Out: &shown, Err: &logged})
	if exit != cli.ExitUsage || !strings.Contains(logged.String(), "--metadata: the header Authorization is reserved") {
		t.Errorf("%d %s%s", exit, shown.String(), logged.String())
	}
}

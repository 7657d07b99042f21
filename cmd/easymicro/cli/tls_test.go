package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/hosttest"
)

func TestCallAndStatusUseTLS(t *testing.T) {
	ca := hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "host.internal")
	mine, myKey := ca.Issue(t, "client-1")
	adminCert, adminKey := ca.Issue(t, "localhost")
	h := hosttest.Start(t, `
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key, clientCAFile: ca.pem, clientAuth: require}}]
services: [{name: Arith, handler: test.desk}]
admin: {tls: {certFile: admin.pem, keyFile: admin.key}}
`, hosttest.Options{Files: map[string]string{
		"host.pem": cert, "host.key": key, "ca.pem": ca.PEM, "admin.pem": adminCert, "admin.key": adminKey, "me.pem": mine, "me.key": myKey,
		"other.pem": hosttest.NewAuthority(t).PEM,
	}})
	t.Chdir(h.Dir)
	manifest := filepath.Join(t.TempDir(), "easymicro.yaml") // the addresses of the host are not in its own
	if err := os.WriteFile(manifest, []byte("services: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	call := "call Arith.Mul {\"a\":6,\"b\":7} --timeout 5s --address " + h.Address
	_, adminPort, _ := strings.Cut(h.AdminAddr().String(), ":")
	for _, tc := range []struct {
		args string
		exit int
		want string
	}{
		{call + " --ca ca.pem --cert me.pem --key me.key --server-name host.internal", 0, `42`},
		{call + " --ca ca.pem --cert me.pem --key me.key --server-name host.internal --http", 0, `42`},
		{call + " --ca ca.pem --server-name host.internal", cli.ExitUnreachable, "pass a certificate that the host trusts with --cert and --key"},
		{call + " --ca other.pem --server-name host.internal", cli.ExitUnreachable, "pass the CA that signed the certificate of the service with --ca"},
		{call + " --ca ca.pem", cli.ExitUnreachable, "pass a name in the certificate of the service with --server-name"},
		{call + " --cert me.pem", cli.ExitUsage, "--cert and --key must be used together"},
		{call + " --tls --ca none.pem", cli.ExitFailed, "--ca: none.pem"},
		{call + " --ca ca.pem --server-name host.internal --http", cli.ExitUnreachable, h.Address + ": remote error: tls: certificate required: pass a certificate"},
		{call, cli.ExitAnswered, "(use --tls, and --ca"},
		{call + " --http", cli.ExitAnswered, "this port requires TLS (use --tls"},
		{"status --admin https://localhost:" + adminPort + " --admin-ca-file ca.pem", 0, "rpcx+http over TLS"},
		{"describe Arith.Mul --admin localhost:" + adminPort + " --admin-ca-file ca.pem", 0, "https://" + h.Address + "/Arith/Mul"},
		{"status --admin localhost:" + adminPort, cli.ExitAnswered, "the listener uses TLS: use https://"},
		{"status --admin https://localhost:" + adminPort, cli.ExitUnreachable, "of the admin listener with --admin-ca-file"},
		{"status --admin 127.0.0.1:" + adminPort + " --admin-ca-file ca.pem", cli.ExitUnreachable, "with --admin https://NAME:PORT"},
	} {
		var out bytes.Buffer
		exit := cli.Run(t.Context(), append(strings.Fields(tc.args), "-c", manifest), cli.IO{In: strings.NewReader(""), Out: &out, Err: &out})
		if exit != tc.exit || !strings.Contains(strings.ToLower(out.String()), strings.ToLower(tc.want)) {
			t.Errorf("%s\n%s\nexit %d, want %d and %q", tc.args, out.String(), exit, tc.exit, tc.want)
		}
	}
}

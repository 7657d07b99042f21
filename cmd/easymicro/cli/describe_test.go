package cli_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/admin"
)

// router is a host without services that has discovered some.
type router struct {
	admin.Host
	found []string
}

func (r router) Services(context.Context) ([]admin.Service, error) { return nil, nil }

func (r router) Status(context.Context) (*admin.Status, error) {
	main := admin.Discovery{Name: "main"}
	for _, name := range r.found {
		main.Services = append(main.Services, admin.Discovered{Service: name})
	}
	return &admin.Status{Discovery: []admin.Discovery{main}}, nil
}

func (router) Metrics() http.Handler { return http.NotFoundHandler() }

// gatewayAdmin returns the admin address of a gateway that has discovered these services.
func gatewayAdmin(t *testing.T, found ...string) (address string) {
	t.Helper()
	server := httptest.NewServer(admin.Handler(router{found: found}, admin.Options{}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestCommandsPointToServicesBehindAGateway(t *testing.T) {
	full, empty, dotted := gatewayAdmin(t, "Stock", "Arith"), gatewayAdmin(t), gatewayAdmin(t, "shop.v1.Till")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list", "--admin", full}, cli.ExitOK, "no services of its own; it has found in etcd: Arith, Stock; for their endpoints: easymicro list --etcd URL"},
		{[]string{"list", "--admin", empty}, cli.ExitOK, "no services of its own; for those behind a gateway: easymicro list --etcd URL"},
		{[]string{"describe", "Arith.Mul", "--admin", full}, cli.ExitAnswered, "does not serve Arith itself, but has found it in etcd: list its hosts, which know its methods, with easymicro describe Arith --etcd URL"},
		{[]string{"describe", "Arit", "--admin", full}, cli.ExitAnswered, "does not serve Arit (did you mean Arith?)"},
		{[]string{"describe", "shopp.v1.Till", "--admin", dotted}, cli.ExitAnswered, "does not serve shopp.v1.Till (did you mean shop.v1.Till?)"},
		{[]string{"describe", "Arith", "--admin", empty}, cli.ExitAnswered, "does not serve Arith\n"},
	} {
		var out, err bytes.Buffer
		code := cli.Run(t.Context(), test.args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &err})
		if got := out.String() + err.String(); code != test.code || !strings.Contains(got, test.want) {
			t.Errorf("%v: exits with %d, prints\n%swant %s", test.args, code, got, test.want)
		}
	}
}

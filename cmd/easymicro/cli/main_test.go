package cli_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/registry"
)

func TestMain(m *testing.M) {
	registry.Plain(newDesk(), registry.As("test.desk"), registry.Example("Mul", Args{A: 73, B: 1500}))
	registry.Register("test.shop", Options{Currency: "EUR"}, openShop, registry.Methods[*Desk]())
	testscript.Main(m, map[string]func(){"easymicro": cli.Main})
}

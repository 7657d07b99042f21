package overload_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/policytest"
)

func TestMain(m *testing.M) {
	if policytest.IsChild(os.Args) {
		policytest.Child()
	}
	goleak.VerifyTestMain(m)
}

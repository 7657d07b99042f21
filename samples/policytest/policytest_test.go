package policytest_test

import (
	"testing"

	"github.com/easymicro/easymicro/host/policytest"
	_ "github.com/easymicro/easymicro/samples" // the handlers of the manifest
)

// A package of handlers tests its policies like this, with `go test` and without the command.
func TestPolicies(t *testing.T) { policytest.Test(t, "tests.yaml") }

package load_test

import (
	"path/filepath"
	"testing"

	"github.com/easymicro/easymicro/config/load"
)

func TestAFileOfEndpointsThatIsNotThereIsWarnedOf(t *testing.T) {
	const upstream = "services: [{name: Arith, handler: samples.arith, uses: {stock: stock}}]\n" +
		"upstreams: [{name: stock, service: Stock, resolve: {file: nodes.yaml}}]\n"
	path := files(t, map[string]string{"easymicro.yaml": upstream})
	want := "easymicro.yaml:2:59: upstreams[0].resolve.file: nodes.yaml is not there: nothing can be called until it is"
	if got := mustLoad(t, path, load.Options{}).Warnings.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	write(t, filepath.Join(filepath.Dir(path), "nodes.yaml"), "[]\n")
	if got := mustLoad(t, path, load.Options{}).Warnings; len(got) > 0 {
		t.Error(got)
	}
}

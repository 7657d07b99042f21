package host

import (
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// That it cannot be looked does not mean that nothing is mounted.
func TestMountWarningsStayWhileTheFilesDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := config.Problem{File: "10.yaml", Message: "is mounted by itself", Warning: true}
		f := &Files{gate: new(files.Gate), last: &config.Set{Manifest: new(config.Manifest)}, mounted: config.Problems{before}}
		away := make(chan struct{})
		_, err := files.Through(t.Context(), f.gate, func(func(string)) (struct{}, error) {
			<-away
			return struct{}{}, nil
		})
		if err == nil {
			t.Fatal("the file answers")
		}
		if got := f.Mounted(); len(got) != 1 || got[0] != before {
			t.Errorf("%v", got)
		}
		close(away)
		synctest.Wait()
		if got := f.Mounted(); len(got) > 0 {
			t.Errorf("nothing is mounted: %v", got)
		}
	})
}

package host_test

import (
	"path/filepath"
	"testing"

	fileset "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
)

func TestAnEditIsReadOnceForItsHashAndItsSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "easymicro.yaml")
	write := func(level string) { writeFile(t, path, "services: []\ntelemetry: {logs: {level: "+level+"}}\n") }
	write("info")
	_, files, err := host.LoadFiles(path, fileset.Options{})
	must(t, err)
	for name, test := range map[string]struct {
		between func(t *testing.T) // the hash and the set
		want    string
	}{
		"the reading is used":              {func(*testing.T) {}, "warn"},
		"files loaded meanwhile are newer": {func(t *testing.T) { _, err := files.Load(t.Context()); must(t, err) }, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			write("info")
			_, err := files.Load(t.Context())
			must(t, err)
			write("warn")
			hash, err := files.Hash()
			must(t, err)
			write("error")
			test.between(t)
			set, err := files.LoadHashed(t.Context(), hash)
			must(t, err)
			if got := set.Manifest.Telemetry.Logs.Level; got != test.want {
				t.Errorf("level %s, want %s", got, test.want)
			}
		})
	}
}

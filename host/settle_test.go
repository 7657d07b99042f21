package host_test

import (
	"context"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
)

// script is a source that gives one set after the other, and then the last one for ever.
type script struct{ sets []*config.Set }

func (s *script) Load(context.Context) (*config.Set, error) {
	set := s.sets[0]
	if len(s.sets) > 1 {
		s.sets = s.sets[1:]
	}
	return set, nil
}

func (s *script) Hash() (string, error) { return s.sets[0].Hash, nil }
func (s *script) Dirs() []string        { return nil }

// setOf is a set from the text of a manifest, named by its hash.
func setOf(t testing.TB, hash, manifest string) *config.Set {
	t.Helper()
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(manifest), func(string) (string, bool) { return "", false })
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &config.Set{Manifest: m, Rules: m.Policies.Rules, Hash: hash, Dir: t.TempDir()}
}

const threeRules = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: one, match: {service: Arith}, timeout: 1s}
    - {name: two, match: {service: Arith}, concurrency: {max: 5}}
    - {name: three, match: {service: Arith}, rateLimit: {rate: 5}}
`

const oneRule = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: one, match: {service: Arith}, timeout: 1s}]}
`

func TestALossThatIsMendedBeforeTheSecondLookNeverApplies(t *testing.T) {
	t.Parallel()
	full, half := setOf(t, "full", threeRules), setOf(t, "half", oneRule)
	for _, tt := range []struct {
		name   string
		sets   []*config.Set
		result string
		hash   string
	}{
		{"back to what runs", []*config.Set{half, full}, host.ResultUnchanged, "full"},
		{"on to something else", []*config.Set{half, setOf(t, "other", threeRules)}, host.ResultApplied, "other"},
		{"it stays", []*config.Set{half, half}, host.ResultApplied, "half"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, err := host.Open(t.Context(), full, host.Options{Registry: newPlant(t).reg, Source: &script{tt.sets}})
			must(t, err)
			defer h.Close()
			r, err := h.Reload(t.Context(), host.SourceAdmin, "a test")
			if err != nil || r.Result != tt.result || r.Hash != tt.hash {
				t.Errorf("%s %q, %v; want %s %q", r.Result, r.Hash, err, tt.result, tt.hash)
			}
		})
	}
}

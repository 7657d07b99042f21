package config

import (
	"path"
	"strings"
)

// metrics checks that the path of the metrics is one that nothing else of the admin and health listeners has.
func (c *checker) metrics() {
	const field = "telemetry.metrics.path"
	at := c.set.Manifest.Telemetry.Metrics.Path
	bare := strings.TrimSuffix(at, "/")
	switch {
	case !strings.HasPrefix(at, "/"): // reported already
	case reservedPath(bare):
		c.manifest(field, "%s is reserved: the admin and health listeners need /, /livez, /readyz, /healthz, /api and /debug themselves", clip(at))
	case strings.ContainsAny(at, "%?#"):
		c.manifest(field, "must be a plain path without %%, ? and #, not %q", clip(at))
	case path.Clean(bare) != bare:
		c.manifest(field, "%q is never asked for", clip(at)).Suggestion = path.Clean(bare)
	}
}

func reservedPath(bare string) bool {
	bare = path.Clean("/" + bare)
	switch first, _, _ := strings.Cut(bare[1:], "/"); first {
	case "api", "debug":
		return true
	}
	return bare == "/" || bare == "/livez" || bare == "/readyz" || bare == "/healthz"
}

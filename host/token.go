package host

import (
	"net/http"
	"os"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func (h *Host) adminHandler(m *config.Manifest) http.Handler {
	return admin.Handler(h.api(), h.adminOptions(m))
}

// adminToken is the operators' token as the file has it now. A file that cannot be read lets nobody in.
func (h *Host) adminToken() (token string, required bool) {
	set := h.Set()
	path := set.Manifest.Admin.TokenFile
	if path == "" {
		return "", false
	}
	data, err := os.ReadFile(set.Path(path))
	if err != nil {
		h.log.Error("admin.tokenFile cannot be read, so no operator is let in", "error", err)
		return "", true
	}
	return strings.TrimSpace(string(data)), true
}

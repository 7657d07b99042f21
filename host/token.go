package host

import (
	"os"
	"strings"
)

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

package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/easymicro/easymicro/config/files"
)

const (
	tempPrefix    = ".tmp-"
	maxFileBytes  = 32 << 20 // no file of a state directory is larger
	dirPermission = 0o700
)

// write replaces a file. A crash at any moment leaves the old or the new content. The file is readable by its owner only.
func write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeTemps removes what a crash left of files that were being written.
func removeTemps(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// sealed is the content of a JSON file with its checksum.
type sealed struct {
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

var errDamaged = errors.New("is damaged")

func writeSealed(path string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	data, err := json.Marshal(sealed{sum(content), content})
	if err != nil {
		return err
	}
	return write(path, append(data, '\n'))
}

// readSealed reads a file into v. A file that is not exactly as it was written is an error.
func readSealed(path string, v any) error {
	data, err := files.Read(path, maxFileBytes)
	if err != nil {
		return fmt.Errorf("%s %s", filepath.Base(path), files.Reason(err))
	}
	var s sealed
	if json.Unmarshal(data, &s) != nil || s.SHA256 != sum(s.Content) || json.Unmarshal(s.Content, v) != nil {
		return fmt.Errorf("%s %w", filepath.Base(path), errDamaged)
	}
	return nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

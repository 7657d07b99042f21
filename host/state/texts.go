package state

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// texts keeps the contents of files, each once, in a file named by its hash.
type texts struct {
	dir  string
	kept map[string]bool // hashes that were written or verified by this process
}

// add keeps the text of a file.
func (t *texts) add(hash string, text []byte) error {
	if t.kept[hash] {
		return nil
	}
	if sum(text) != hash {
		return fmt.Errorf("a file has another text than its hash %s", hash)
	}
	if _, err := t.read(hash); err != nil {
		if err := write(filepath.Join(t.dir, hash), text); err != nil {
			return err
		}
	}
	t.kept[hash] = true
	return nil
}

func (t *texts) read(hash string) ([]byte, error) {
	text, err := files.Read(filepath.Join(t.dir, filepath.Base(hash)), maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("the text %s %s", hash, files.Reason(err))
	}
	if sum(text) != hash {
		return nil, fmt.Errorf("the text %s %w", hash, errDamaged)
	}
	return text, nil
}

// of returns the texts of files by path.
func (t *texts) of(list []config.File) (map[string][]byte, error) {
	found := make(map[string][]byte, len(list))
	for _, f := range list {
		text, err := t.read(f.Hash)
		if err != nil {
			return nil, err
		}
		found[f.Path] = text
	}
	return found, nil
}

// retain removes the texts that are not in use.
func (t *texts) retain(used map[string]bool) {
	entries, _ := os.ReadDir(t.dir)
	for _, e := range entries {
		if !used[e.Name()] {
			_ = os.Remove(filepath.Join(t.dir, e.Name()))
			delete(t.kept, e.Name())
		}
	}
}

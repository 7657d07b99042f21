package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/wire/client"
)

// FileOptions say how a file is read. All have a useful zero value.
type FileOptions struct {
	Timing func() watch.Timing // of noticing changes; nil: the defaults
	Logger *slog.Logger        // nil discards
}

// Nodes are the endpoints of a file, which is watched.
type Nodes struct {
	path string
	o    FileOptions
}

// File makes Nodes of the file at path. Nothing is read before it is watched.
func File(path string, o FileOptions) *Nodes { return &Nodes{path: path, o: o} }

// rereadAfter is when a bad file is read once more: somebody may be writing it.
const rereadAfter = 250 * time.Millisecond

// Watch is that of client.Resolver: the endpoints are those of every service. While the file is bad or gone the last
// list holds; the error has all problems with their places.
func (n *Nodes) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	told := n.tell(update)
	w := watch.New(watch.Options{
		Dirs: n.dirs, Hash: n.hash, Known: told, Timing: n.o.Timing, Logger: n.o.Logger,
	})
	return w.Watch(ctx, func(string) {
		if _, _, err := n.load(); err != nil {
			select {
			case <-time.After(rereadAfter):
			case <-ctx.Done():
				return
			}
		}
		n.tell(update)
	})
}

// tell reads the file and tells what is in it. It returns the hash of what it read.
func (n *Nodes) tell(update func([]client.Endpoint, error)) (hash string) {
	list, hash, err := n.load()
	if err != nil {
		update(nil, err)
		return hash
	}
	update(list, nil)
	return hash
}

// notRead stands for the content of a file that could not be read.
const notRead = "not read"

func (n *Nodes) load() (list []client.Endpoint, hash string, err error) {
	data, err := n.read()
	if err != nil {
		return nil, notRead, config.Problem{File: n.path, Message: "cannot be read: " + reason(err)}
	}
	list, problems := decodeNodes(n.path, data)
	return list, sum(data), problems.Err()
}

// read reads no more than a file may have.
func (n *Nodes) read() ([]byte, error) {
	f, err := os.Open(n.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, config.MaxFileBytes+1))
}

func (n *Nodes) hash() (string, error) {
	data, err := n.read()
	if err != nil {
		return "", err
	}
	return sum(data), nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// maxLinks is how many links are followed from one to the next.
const maxLinks = 16

// dirs are the folders of the file and of all links on the way to it: each may be turned to another target.
func (n *Nodes) dirs() []string {
	var dirs []string
	path := n.path
	for range maxLinks {
		dir := filepath.Dir(path)
		dirs = append(dirs, dir)
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return dirs
}

// reason is err without the path that is said already.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

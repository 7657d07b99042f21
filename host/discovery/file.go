package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/wire/client"
)

// FileOptions configure File. Every field has a useful zero value.
type FileOptions struct {
	Timing func() watch.Timing              // of the watch; nil: the defaults
	Logger *slog.Logger                     // nil discards
	Env    func(name string) (string, bool) // looks up ${VAR}; nil: the environment
}

// FileResolver resolves every service to the endpoints in a watched file.
type FileResolver struct {
	path string
	o    FileOptions
}

// File returns a resolver for the file at path, which is not read before Watch.
func File(path string, o FileOptions) *FileResolver {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	return &FileResolver{path: path, o: o}
}

// rereadAfter is the time after which an invalid file is read again: it may have been read half-written.
const rereadAfter = 250 * time.Millisecond

// Watch implements client.Resolver. While the file is invalid or missing, the last list stays in use; the error lists all
// problems with their positions.
func (n *FileResolver) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	f := &fileWatch{resolver: n, update: update}
	list, known, err := f.load(ctx)
	f.pass(ctx, list, err)
	w := watch.New(watch.Options{Dirs: n.dirs, Hash: f.hash, Known: known, Timing: n.o.Timing, Logger: n.o.Logger})
	return w.Watch(ctx, func(string) {
		list, hash, err := f.load(ctx)
		if err != nil {
			select {
			case <-time.After(rereadAfter):
			case <-ctx.Done():
				return
			}
			list, hash, err = f.load(ctx)
		}
		w.Loaded(hash)
		f.pass(ctx, list, err)
	})
}

// fileWatch is one watch of the file.
type fileWatch struct {
	resolver *FileResolver
	update   func([]client.Endpoint, error)
	gate     files.Gate
}

// pass passes on what was loaded.
func (f *fileWatch) pass(ctx context.Context, list []client.Endpoint, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.update(nil, err)
	default:
		f.update(list, nil)
	}
}

// notRead is the hash of a file that could not be read.
const notRead = "not read"

// load reads and decodes the file, and returns the hash of what it read.
func (f *fileWatch) load(ctx context.Context) (list []client.Endpoint, hash string, err error) {
	path := f.resolver.path
	data, err := f.read(ctx)
	if err != nil {
		return nil, notRead, config.Problem{File: path, Message: files.Reason(err)}
	}
	decoded, problems := config.DecodeEndpoints(path, data, f.resolver.o.Env)
	return endpointsOf(decoded), sum(data), problems.Err()
}

// endpointsOf converts endpoints whose addresses were checked by the decoder.
func endpointsOf(list []config.Endpoint) []client.Endpoint {
	all := make([]client.Endpoint, 0, len(list))
	for _, e := range list {
		network, address, err := e.Address.Split()
		if err == nil {
			all = append(all, client.Endpoint{Network: network, Address: address, Weight: e.Weight, Metadata: e.Metadata})
		}
	}
	return all
}

func (f *fileWatch) read(ctx context.Context) ([]byte, error) {
	return f.gate.Read(ctx, f.resolver.path, config.MaxFileBytes)
}

func (f *fileWatch) hash() (string, error) {
	data, err := f.read(context.Background())
	if err != nil {
		return "", err
	}
	return sum(data), nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// dirs returns the directories of the file and of all links on the way to it.
func (n *FileResolver) dirs() []string {
	dirs := files.Links(n.path)
	for i, link := range dirs {
		dirs[i] = filepath.Dir(link)
	}
	return dirs
}

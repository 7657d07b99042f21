package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// MaxSetBytes is how large all files of a set may be together.
const MaxSetBytes = 16 << 20

// A set that is swapped while it is read (a ConfigMap) is read again, this often and with this pause.
const (
	readAttempts = 5
	readPause    = 10 * time.Millisecond
)

// file is one file as it was read, or what kept it from being read.
type file struct {
	path     string // to open it
	display  string // as problems show it
	resolved string // without links
	field    string // of the manifest that names it; empty when a pattern with wildcards matched it
	data     []byte
	problem  *config.Problem
}

// readFiles are the files of one set, read at one moment.
type readFiles struct {
	dir      string
	at       func(path string) // Options.At
	manifest file
	found    *found // what policies.files matches
	policies []file
	tokens   *file
	named    []namedFile // certificates, keys, passwords
	total    int64       // bytes read

	decoded   *config.Manifest // nil when the manifest cannot be read
	problems  config.Problems  // of the manifest
	endpoints config.Problems  // of the files with endpoints
	moving    bool             // they were still being replaced when the last attempt was over
}

// readSet reads the manifest and what it names. When a link moves meanwhile, it is all read again: a set is never half
// old and half new.
func readSet(path string, o Options) (*readFiles, error) {
	for attempt := 1; ; attempt++ {
		r, err := readOnce(path, o)
		if err != nil {
			return nil, err
		}
		if r.settled() {
			return r, nil
		}
		if attempt == readAttempts {
			r.moving = true
			r.problems = append(r.problems, config.Problem{
				File: r.manifest.display, Line: 1, Column: 1,
				Message: "files of this set are replaced faster than they can be read: it is read again when they stay",
			})
			return r, nil
		}
		time.Sleep(readPause)
	}
}

func readOnce(path string, o Options) (*readFiles, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r := &readFiles{dir: filepath.Dir(path), at: o.At}
	if o.Manifest != nil {
		r.manifest = file{display: filepath.Base(path), data: o.Manifest}
	} else {
		r.at(path)
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		r.manifest = r.read(path, filepath.Base(path))
	}
	if r.manifest.problem != nil {
		r.problems = config.Problems{*r.manifest.problem}
		return r, nil //nolint:nilerr // the file is there, so what is wrong with it is a problem of the set
	}
	r.decoded, r.problems = config.DecodeManifest(r.manifest.display, r.manifest.data, o.lookup)
	r.found = r.find("policies.files", r.decoded.Policies.Files)
	r.policies = r.readAll(r.found)
	if t := r.decoded.Auth.Tokens; t != nil && t.File != "" {
		tokens := r.read(r.abs(t.File), t.File)
		tokens.field = "auth.tokens.file"
		r.tokens = &tokens
	}
	r.readNamed()
	r.readEndpoints(o.lookup)
	return r, nil
}

func (r *readFiles) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

func (r *readFiles) read(path, display string) file {
	return r.readAtMost(path, display, config.MaxFileBytes)
}

// readAtMost reads one file, which may have so many bytes, and no more than the set may have.
func (r *readFiles) readAtMost(path, display string, most int64) file {
	r.at(path)
	f := file{path: path, display: display}
	wrong := func(format string, args ...any) file {
		f.problem = &config.Problem{File: display, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}
		return f
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return wrong("%s", files.Reason(err))
	}
	f.resolved = resolved
	left := MaxSetBytes - r.total
	var large *files.TooLargeError
	switch f.data, err = files.Read(resolved, min(most, left)); {
	case errors.As(err, &large) && left < most:
		return wrong("is not read: the set has more than %d MiB", MaxSetBytes>>20)
	case err != nil:
		return wrong("%s", files.Reason(err))
	}
	r.total += int64(len(f.data))
	return f
}

// settled reports whether the links and the patterns still lead where they led when the files were read.
func (r *readFiles) settled() bool {
	all := slices.Clone(r.policies)
	if r.manifest.path != "" {
		all = append(all, r.manifest)
	}
	if r.tokens != nil {
		all = append(all, *r.tokens)
	}
	for _, f := range r.named {
		all = append(all, f.file)
	}
	for _, f := range all {
		r.at(f.path)
		if now, err := filepath.EvalSymlinks(f.path); (err != nil) != (f.resolved == "") || (err == nil && now != f.resolved) {
			return false
		}
	}
	return r.decoded == nil || r.found.signature() == r.find(r.found.field, r.found.patterns).signature()
}

// wrong is what is wrong with a file that cannot be read, at the field that names it if one does.
func (r *readFiles) wrong(f *file) config.Problem {
	if f.field == "" {
		return *f.problem
	}
	return r.problemAt(f.field, f.display+" "+f.problem.Message)
}

func (r *readFiles) problemAt(path, message string) config.Problem {
	at := r.decoded.Position(path)
	return config.Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message}
}

package load

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/easymicro/easymicro/config"
)

// namedFile is a file of certificates or secrets, with the field of the manifest that names it.
type namedFile struct {
	config.NamedFile
	file
}

func (r *readFiles) readNamed() {
	for _, f := range r.decoded.NamedFiles() {
		r.named = append(r.named, namedFile{f, r.readAtMost(r.abs(f.Path), f.Path, f.Most)})
	}
}

// contents puts what was read into the set. A file that cannot be read is a problem of the field that names it. These
// files are not among those that status shows: the hash of a short password tells the password.
func (r *readFiles) contents(set *config.Set) config.Problems {
	var problems config.Problems
	set.Contents = make(config.Contents, len(r.named))
	for i := range r.named {
		f := &r.named[i]
		if f.problem != nil {
			problems = append(problems, r.problemAt(f.Field, f.Path+" "+f.problem.Message))
			continue
		}
		set.Contents[f.Path] = f.data
	}
	return problems
}

// readEndpoints reads the files of endpoints as a running host does. They are not part of the set, since they change
// without an edit, but what is wrong with one is: nothing can be called by it.
func (r *readFiles) readEndpoints(env func(string) (string, bool)) {
	seen := map[string]bool{"": true}
	for i := range r.decoded.Upstreams {
		path := r.decoded.Upstreams[i].Resolve.File
		if seen[path] {
			continue
		}
		seen[path] = true
		field := fmt.Sprintf("upstreams[%d].resolve.file", i)
		r.at(r.abs(path))
		if isAbsent(r.abs(path)) { // it is followed, and may come later
			p := r.problemAt(field, path+" is not there: nothing can be called until it is")
			p.Warning = true
			r.endpoints = append(r.endpoints, p)
			continue
		}
		f := r.read(r.abs(path), path)
		if f.problem != nil {
			f.field = field
			r.endpoints = append(r.endpoints, r.wrong(&f))
			continue
		}
		_, problems := config.DecodeEndpoints(path, f.data, env)
		r.endpoints = append(r.endpoints, problems...)
	}
}

// isAbsent reports whether a file is simply not there: nothing on the way to it leads nowhere.
func isAbsent(path string) bool {
	if !isGone(path) {
		return false
	}
	for up := filepath.Dir(path); up != path; path, up = up, filepath.Dir(up) {
		if !isGone(up) {
			_, err := os.Stat(up)
			return err == nil
		}
	}
	return true
}

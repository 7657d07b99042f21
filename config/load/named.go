package load

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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

// absent are warnings about files with endpoints that are not there: such a file is followed, and may come later.
func (r *readFiles) absent() config.Problems {
	var problems config.Problems
	for i := range r.decoded.Upstreams {
		path := r.decoded.Upstreams[i].Resolve.File
		if path == "" {
			continue
		}
		r.at(r.abs(path))
		if _, err := os.Stat(r.abs(path)); err != nil {
			why := "cannot be read: " + err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				why = "is not there: nothing can be called until it is"
			}
			p := r.problemAt(fmt.Sprintf("upstreams[%d].resolve.file", i), path+" "+why)
			p.Warning = true
			problems = append(problems, p)
		}
	}
	return problems
}

package load

import "github.com/easymicro/easymicro/config"

// namedFile is a file of certificates or secrets, with the field of the manifest that names it.
type namedFile struct {
	config.NamedFile
	file
}

func (r *readFiles) readNamed() {
	for _, f := range r.decoded.NamedFiles() {
		r.named = append(r.named, namedFile{f, r.read(r.abs(f.Path), f.Path)})
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

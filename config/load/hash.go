package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/easymicro/easymicro/config"
)

// Hash is the content hash of the whole set at path, equal to the Hash of a set that Load makes of the same content.
// It needs no set without problems: what cannot be read counts too, so that it changes when it can be read again.
func Hash(path string) (string, error) { return HashWith(path, Options{}) }

// HashWith is Hash with the manifest, the variables and At of o.
func HashWith(path string, o Options) (string, error) {
	r, err := readSet(path, o.complete())
	if err != nil {
		return "", err
	}
	return r.hash(), nil
}

func (r *readFiles) hash() string {
	h := sha256.New()
	r.manifest.addTo(h)
	if r.found != nil {
		fmt.Fprintf(h, "%s ", r.found.signature())
	}
	for _, f := range r.policies {
		f.addTo(h)
	}
	if r.tokens != nil {
		r.tokens.addTo(h)
	}
	for _, f := range r.named {
		f.addTo(h)
	}
	if r.moving {
		fmt.Fprint(h, "moving ") // the same content at rest is another one
	}
	for _, p := range r.endpoints.Errors() { // a file of endpoints that is mended is news, and another list is none
		fmt.Fprintf(h, "%q ", p.String())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// addTo hashes path and content with their lengths, so that nothing can move from one to the other.
func (f *file) addTo(h hash.Hash) {
	problem := ""
	if f.problem != nil {
		problem = f.problem.Message
	}
	fmt.Fprintf(h, "%d %s %d %s %d ", len(f.display), f.display, len(problem), problem, len(f.data))
	h.Write(f.data)
}

func (f *file) shown() config.File {
	sum := sha256.Sum256(f.data)
	return config.File{Path: f.display, Hash: hex.EncodeToString(sum[:])}
}

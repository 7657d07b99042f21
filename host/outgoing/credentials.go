package outgoing

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// spec is the configuration of something that generations share. When it changes, a new one is opened.
type spec[C any] struct {
	config C
	files  string // fingerprint of those that config names
}

// reusable is a resource that generations share until its spec changes.
type reusable[C any] interface {
	comparable
	currentSpec() spec[C]
}

// content returns the file of a field as it was when the set was read. The error is config.Problems.
func content(set *config.Set, field, path string) ([]byte, error) {
	if data, ok := set.Contents[path]; ok {
		return data, nil
	}
	data, err := files.Read(set.Path(path), config.MaxFileBytes) // a set that a program has made
	if err != nil {
		return nil, set.ProblemAt(field, path+" "+files.Reason(err))
	}
	return data, nil
}

// Secret returns the trimmed text of the file of a field, as it was when the set was read; empty without a path. The
// error is config.Problems.
func Secret(set *config.Set, field, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := content(set, field, path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", set.ProblemAt(field, path+" is empty")
	}
	return text, nil
}

// fingerprint returns a hash of files.
func fingerprint(set *config.Set, paths ...string) string {
	h := sha256.New()
	for _, path := range paths {
		if path != "" {
			data, err := content(set, "", path)
			fmt.Fprintf(h, "%d %v %d ", len(path), err != nil, len(data))
			h.Write(data)
		}
	}
	return string(h.Sum(nil))
}

func tlsFiles(t *config.ClientTLS) []string {
	if t == nil {
		return nil
	}
	return []string{t.CAFile, t.CertFile, t.KeyFile}
}

// ClientTLS returns the TLS configuration of a client, nil without one. The error is config.Problems and quotes nothing of the files.
func ClientTLS(set *config.Set, path string, t *config.ClientTLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	made := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		data, err := content(set, path+".caFile", t.CAFile)
		if err != nil {
			return nil, err
		}
		made.RootCAs = x509.NewCertPool()
		if !made.RootCAs.AppendCertsFromPEM(data) {
			return nil, set.ProblemAt(path+".caFile", t.CAFile+" contains no PEM certificate")
		}
	}
	if t.CertFile == "" {
		return made, nil
	}
	cert, err := content(set, path+".certFile", t.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := content(set, path+".keyFile", t.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		why := fmt.Sprintf("%s and %s do not match: %s", t.CertFile, t.KeyFile, strings.TrimPrefix(err.Error(), "tls: "))
		return nil, &mismatchError{set.ProblemAt(path+".certFile", why)}
	}
	made.Certificates = []tls.Certificate{pair}
	return made, nil
}

// mismatchError reports a certificate and a key that do not match, as happens while they are replaced one by one.
type mismatchError struct{ problems config.Problems }

func (e *mismatchError) Error() string { return e.problems.Error() }

func (e *mismatchError) Unwrap() error { return e.problems }

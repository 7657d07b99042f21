// Package credentials reads the certificates, keys and secrets that the files of a set hold.
package credentials

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host/bearer"
)

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

// Fingerprint returns a hash of files.
func Fingerprint(set *config.Set, paths ...string) string {
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

// ClientFiles returns the files of the TLS configuration of a client.
func ClientFiles(t *config.ClientTLS) []string {
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
	var err error
	if t.CAFile != "" {
		if made.RootCAs, err = authorities(set, path+".caFile", t.CAFile); err != nil {
			return nil, err
		}
	}
	if t.CertFile == "" {
		return made, nil
	}
	pair, err := keyPair(set, path, t.CertFile, t.KeyFile)
	if err != nil {
		return nil, err
	}
	made.Certificates = []tls.Certificate{*pair}
	return made, nil
}

// authorities returns the CA certificates of a file.
func authorities(set *config.Set, field, path string) (*x509.CertPool, error) {
	data, err := content(set, field, path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, set.ProblemAt(field, path+" contains no PEM certificate")
	}
	return pool, nil
}

// keyPair reads the certificate and key named by certFile and keyFile. path locates their block in the manifest.
func keyPair(set *config.Set, path, certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := content(set, path+".certFile", certFile)
	if err != nil {
		return nil, err
	}
	key, err := content(set, path+".keyFile", keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		why := fmt.Sprintf("%s and %s do not match: %s", certFile, keyFile, strings.TrimPrefix(err.Error(), "tls: "))
		return nil, &KeptError{set.ProblemAt(path+".certFile", why)}
	}
	return &pair, nil
}

// Keys returns the keys of the file of auth.jwt. If it is invalid, it returns running, unless nil, with warnings that they stay in
// use. The error is config.Problems.
func Keys(set *config.Set, running *bearer.Keys) (*bearer.Keys, config.Problems, error) {
	const field = "auth.jwt.jwksFile"
	path := set.Manifest.Auth.JWT.JWKSFile
	data, err := content(set, field, path)
	if err != nil {
		return nil, nil, err
	}
	keys, err := bearer.ParseKeys(data)
	switch {
	case err == nil:
		return keys, nil, nil
	case running == nil:
		return nil, nil, set.ProblemAt(field, path+": "+err.Error())
	}
	return running, (&KeptError{set.ProblemAt(field, path+": "+err.Error())}).Warnings(), nil
}

// KeySource returns the source of the keys of auth.jwt, one of running if it is the same. The error is config.Problems.
func KeySource(set *config.Set, running ...*bearer.Source) (*bearer.Source, error) {
	j := set.Manifest.Auth.JWT
	id := fmt.Sprintf("%s %+v %x", j.JWKSURL, j.TLS, Fingerprint(set, ClientFiles(j.TLS)...))
	for _, s := range running {
		if s != nil && s.ID() == id {
			return s, nil
		}
	}
	conf, err := ClientTLS(set, "auth.jwt.tls", j.TLS)
	if err != nil {
		return nil, err
	}
	return bearer.NewSource(id, j.JWKSURL, conf), nil
}

// KeptError reports files whose previous content stays in use: a certificate and a key that do not match, as happens while
// they are replaced one by one, or what would make a listener useless.
type KeptError struct{ problems config.Problems }

func (e *KeptError) Error() string { return e.problems.Error() }

func (e *KeptError) Unwrap() error { return e.problems }

// Warnings returns the error as warnings that the previous content of the files stays in use.
func (e *KeptError) Warnings() config.Problems {
	var warnings config.Problems
	for _, p := range e.problems {
		p.Message += ": the previous content stays in use"
		warnings = append(warnings, p.Coded(lint.StandIn))
	}
	return warnings
}

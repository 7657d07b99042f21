package host

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// content is what a file that the manifest names had when the set was read.
func content(set *config.Set, path string) ([]byte, error) {
	if data, ok := set.Contents[path]; ok {
		return data, nil
	}
	return os.ReadFile(set.Path(path)) // a set that a program has made
}

// fingerprint tells contents apart, without keeping them.
func fingerprint(set *config.Set, paths ...string) string {
	h := sha256.New()
	for _, path := range paths {
		if path != "" {
			data, err := content(set, path)
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

// clientTLS makes the TLS of a calling side of the files at path in the manifest. The error is config.Problems. None of
// what is said repeats a file.
func clientTLS(set *config.Set, path string, t *config.ClientTLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	made := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		data, err := content(set, t.CAFile)
		if err != nil {
			return nil, fieldProblem(set, path+".caFile", "cannot be read: "+err.Error())
		}
		made.RootCAs = x509.NewCertPool()
		if !made.RootCAs.AppendCertsFromPEM(data) {
			return nil, fieldProblem(set, path+".caFile", t.CAFile+" has no certificate in PEM form")
		}
	}
	if t.CertFile == "" {
		return made, nil
	}
	cert, err := content(set, t.CertFile)
	if err != nil {
		return nil, fieldProblem(set, path+".certFile", "cannot be read: "+err.Error())
	}
	key, err := content(set, t.KeyFile)
	if err != nil {
		return nil, fieldProblem(set, path+".keyFile", "cannot be read: "+err.Error())
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fieldProblem(set, path+".certFile", fmt.Sprintf("%s and %s are no pair: %s", t.CertFile, t.KeyFile, strings.TrimPrefix(err.Error(), "tls: ")))
	}
	made.Certificates = []tls.Certificate{pair}
	return made, nil
}

// Command certs makes the certificates of the sample tls: a CA on its first run, and on each run new certificates for the hosts and
// the client.
package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	caFile, caKeyFile = "ca.pem", "ca.key"

	caLifetime   = 365 * 24 * time.Hour
	certLifetime = 30 * 24 * time.Hour
)

func main() {
	dir := flag.String("dir", "samples/tls/pki", "`FOLDER` of the files")
	newCA := flag.Bool("new-ca", false, "add a new CA in front of those in ca.pem, and issue no certificate; the next run uses it")
	flag.Parse()
	if err := run(*dir, *newCA); err != nil {
		fmt.Fprintln(os.Stderr, "certs:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

func run(dir string, newCA bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(dir, caKeyFile))
	missing := errors.Is(err, fs.ErrNotExist)
	if newCA || missing {
		if err := makeCA(dir); err != nil || !missing {
			return err
		}
	}
	ca, key, err := readCA(dir)
	if err != nil {
		return err
	}
	for _, name := range []string{"stock", "shop", "gateway", "web"} {
		if err := issue(dir, name, ca, key); err != nil {
			return err
		}
	}
	return nil
}

// makeCA makes a CA, and puts its certificate in front of those of its predecessors.
func makeCA(dir string) error {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "CA of the sample tls, " + time.Now().Format(time.RFC3339)},
		IsCA:    true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	before, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cert, key, err := sign(template, caLifetime, nil, nil)
	if err != nil {
		return err
	}
	return cmp.Or(write(dir, caKeyFile, key), write(dir, caFile, append(cert, before...)))
}

// readCA returns the newest CA.
func readCA(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := readPEM(filepath.Join(dir, caFile))
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, nil, err
	}
	der, err := readPEM(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	return ca, key, err
}

// issue makes a certificate for servers and clients, whose URI is the caller that it identifies, and its key.
func issue(dir, name string, ca *x509.Certificate, by *ecdsa.PrivateKey) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/" + name}},
		DNSNames:    []string{name + ".internal", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, key, err := sign(template, certLifetime, ca, by)
	if err != nil {
		return err
	}
	if err := cmp.Or(write(dir, name+".pem", cert), write(dir, name+".key", key)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%-12s %s, valid until %s\n", name+".pem", template.URIs[0], template.NotAfter.Format(time.RFC3339))
	return err
}

// sign returns a certificate and its key in PEM. Without a CA the certificate is self-signed.
func sign(template *x509.Certificate, lifetime time.Duration, ca *x509.Certificate, by *ecdsa.PrivateKey) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if ca == nil {
		ca, by = template, private
	}
	template.NotBefore = time.Now().Add(-time.Minute) // clocks differ
	template.NotAfter = time.Now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &private.PublicKey, by)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), err
}

// readPEM returns the first block of a file.
func readPEM(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(path + " is not PEM")
	}
	return block.Bytes, nil
}

// write replaces a file atomically: readers never see a part of it.
func write(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil { //nolint:gosec // the folder that the user names
		return err
	}
	return os.Rename(path+".new", path)
}

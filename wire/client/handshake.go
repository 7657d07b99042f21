package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// handshakeFailed is the error of a handshake, with what to look at where that is known.
func handshakeFailed(err error) error {
	var (
		signer x509.UnknownAuthorityError
		name   x509.HostnameError
		plain  tls.RecordHeaderError
		cert   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &signer):
		return fmt.Errorf("%w: is the CA that signed the server's certificate in the caFile of tls?", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: say in the serverName of tls which name the server's certificate has", err)
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return fmt.Errorf("%w: renew the server's certificate, or set the clock", err)
	case errors.As(err, &plain), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: is the server's port one for TLS?", err)
	}
	return err
}

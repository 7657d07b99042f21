package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"reflect"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Server is the TLS of a listener, as its files were when the set was read.
type Server struct {
	Certificate *tls.Certificate // with its leaf
	ClientCAs   *x509.CertPool   // nil: certificates of clients are not asked for
	ClientAuth  tls.ClientAuthType
	Trust       string // equal for equal ClientCAs and ClientAuth

	config config.TLS
}

// ServerTLS returns the TLS of a listener, which uses running until then, or nil. If the pair does not match, or the
// certificate has expired, the result keeps that of running, with warnings. The CAs of clients always follow the set.
// The error is config.Problems and quotes nothing of the files.
func ServerTLS(set *config.Set, t config.ServerTLS, running *Server) (*Server, config.Problems, error) {
	next := &Server{config: *t.TLS, Trust: t.ClientAuth}
	err := next.read(set, t)
	if running != nil && !reflect.DeepEqual(running.config, next.config) {
		running = nil
	}
	kept, mayKeep := err.(*KeptError) //nolint:errorlint // of read, which wraps none
	now := time.Now()
	switch {
	case mayKeep && running != nil:
		next.Certificate = running.Certificate
		return next, kept.Warnings(), nil
	case err != nil:
		return nil, nil, err
	case next.expired(now):
		wrong := &KeptError{set.ProblemAt(t.Path+".certFile", fmt.Sprintf("the certificate in %s expired on %s", t.CertFile,
			next.Certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)))}
		if running != nil && !running.expired(now) {
			next.Certificate = running.Certificate
			return next, wrong.Warnings(), nil
		}
	}
	return next, nil, nil
}

// expired reports whether the certificate has expired.
func (s *Server) expired(now time.Time) bool { return now.After(s.Certificate.Leaf.NotAfter) }

func (s *Server) read(set *config.Set, t config.ServerTLS) (err error) {
	switch t.ClientAuth {
	case config.ClientAuthRequest:
		s.ClientAuth = tls.VerifyClientCertIfGiven
	case config.ClientAuthRequire:
		s.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if s.ClientAuth != tls.NoClientCert {
		s.Trust += Fingerprint(set, t.ClientCAFile)
		if s.ClientCAs, err = authorities(set, t.Path+".clientCAFile", t.ClientCAFile); err != nil {
			return err
		}
	}
	s.Certificate, err = keyPair(set, t.Path, t.CertFile, t.KeyFile)
	return err
}

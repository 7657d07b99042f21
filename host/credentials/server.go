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

// ServerTLS returns the TLS of a listener. running is what the listener uses so far, or nil. If the files are invalid in a
// way that passes, or the certificate has expired, running is returned with warnings. The error is config.Problems and
// quotes nothing of the files.
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
		return running, kept.Warnings(), nil
	case err != nil:
		return nil, nil, err
	case next.expired(now):
		wrong := &KeptError{set.ProblemAt(t.Path+".certFile", fmt.Sprintf("the certificate in %s expired on %s", t.CertFile,
			next.Certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)))}
		if running != nil && !running.expired(now) {
			return running, wrong.Warnings(), nil
		}
	}
	return next, nil, nil
}

// expired reports whether the certificate has expired.
func (s *Server) expired(now time.Time) bool { return now.After(s.Certificate.Leaf.NotAfter) }

func (s *Server) read(set *config.Set, t config.ServerTLS) (err error) {
	if s.Certificate, err = keyPair(set, t.Path, t.CertFile, t.KeyFile); err != nil {
		return err
	}
	switch t.ClientAuth {
	case config.ClientAuthRequest:
		s.ClientAuth = tls.VerifyClientCertIfGiven
	case config.ClientAuthRequire:
		s.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil
	}
	s.Trust += Fingerprint(set, t.ClientCAFile)
	s.ClientCAs, err = authorities(set, t.Path+".clientCAFile", t.ClientCAFile)
	return err
}

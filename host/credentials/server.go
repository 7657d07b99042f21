package credentials

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"reflect"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

// Server is the TLS of a listener, as its files were when the set was read.
type Server struct {
	Certificate *tls.Certificate // with its leaf
	Next        *tls.Certificate // takes its place when it becomes valid; nil for none
	ClientCAs   *x509.CertPool   // nil: certificates of clients are not asked for
	ClientAuth  tls.ClientAuthType
	Trust       string // equal for equal ClientCAs and ClientAuth

	config config.TLS
}

// Current returns the certificate to use.
func (s *Server) Current(now time.Time) *tls.Certificate {
	if s.Next != nil && !now.Before(s.Next.Leaf.NotBefore) {
		return s.Next
	}
	return s.Certificate
}

// ServerTLS returns the TLS of a listener, which uses running until then, or nil. If the pair does not match, or the
// certificate has expired or is not valid yet, the result keeps that of running, with warnings. The CAs of clients always follow
// the set. The error is config.Problems and quotes nothing of the files.
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
		next.Certificate, next.Next = running.Certificate, running.Next
		return next, kept.Warnings(), nil
	case err != nil:
		return nil, nil, err
	case now.Before(next.Certificate.Leaf.NotBefore):
		warnings := next.wait(set, t, running, now)
		return next, warnings, nil
	case next.expired(now):
		wrong := &KeptError{set.ProblemAt(t.Path+".certFile", fmt.Sprintf("the certificate in %s expired on %s", t.CertFile,
			next.Certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)))}
		if running != nil && !running.expired(now) {
			next.Certificate, next.Next = running.Certificate, running.Next
			return next, wrong.Warnings(), nil
		}
	}
	return next, nil, nil
}

// wait has a certificate that is not valid yet take the place of that of running when it becomes valid, and returns a warning.
func (s *Server) wait(set *config.Set, t config.ServerTLS, running *Server, now time.Time) config.Problems {
	as, until := lint.Expired, "clients refuse it until then"
	if running != nil && !running.expired(now) && !now.Before(running.Current(now).Leaf.NotBefore) {
		as, until = lint.StandIn, "the previous one stays in use until then"
		s.Certificate, s.Next = running.Current(now), s.Certificate
	}
	from := cmp.Or(s.Next, s.Certificate).Leaf.NotBefore.UTC().Format(time.RFC3339)
	problems := set.ProblemAt(t.Path+".certFile", fmt.Sprintf("the certificate in %s is not valid before %s: %s", t.CertFile, from, until))
	for i := range problems {
		problems[i] = problems[i].Coded(as)
	}
	return problems
}

// expired reports whether the certificate in use has expired.
func (s *Server) expired(now time.Time) bool { return now.After(s.Current(now).Leaf.NotAfter) }

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

package listen

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/wire"
)

// encryption is the TLS of a listener. The certificate changes under its tls.Config, so that sessions can be resumed after
// that. Another tls.Config, which resumes none, takes the place of one that verified clients differently.
type encryption struct {
	server      *credentials.Server
	protocols   []string // of ALPN
	certificate *atomic.Pointer[tls.Certificate]
	config      *tls.Config
}

// newEncryption returns the TLS of a listener that has had running, or nil, so far. Commit has it take effect.
func newEncryption(s *credentials.Server, protocols []string, running *encryption) *encryption {
	if running != nil && running.server.Trust == s.Trust && slices.Equal(running.protocols, protocols) {
		return &encryption{server: s, protocols: protocols, certificate: running.certificate, config: running.config}
	}
	certificate := new(atomic.Pointer[tls.Certificate])
	return &encryption{server: s, protocols: protocols, certificate: certificate, config: &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols, ClientCAs: s.ClientCAs, ClientAuth: s.ClientAuth,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil },
	}}
}

// trusts reports whether a listener accepts the peer of an open connection as it did when it connected. A nil encryption is no TLS.
func (e *encryption) trusts(c net.Conn) bool {
	var certificates []*x509.Certificate
	if secure, ok := c.(interface {
		Config() *tls.Config
		ConnectionState() tls.ConnectionState
	}); ok {
		if e != nil && secure.Config() == e.config {
			return true
		}
		certificates = secure.ConnectionState().PeerCertificates
	}
	if len(certificates) == 0 {
		return e == nil || e.config.ClientAuth != tls.RequireAndVerifyClientCert
	}
	if e == nil || e.config.ClientCAs == nil {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range certificates[1:] {
		between.AddCert(c)
	}
	_, err := certificates[0].Verify(x509.VerifyOptions{
		Roots: e.config.ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// commit puts the certificate in force and returns the configuration for new connections; nil for a nil encryption.
func (e *encryption) commit() *tls.Config {
	if e == nil {
		return nil
	}
	e.certificate.Store(e.server.Certificate)
	return e.config
}

// current returns what the listener uses; nil for a nil encryption.
func (e *encryption) current() *credentials.Server {
	if e == nil {
		return nil
	}
	return e.server
}

// encryptions holds the TLS of the listeners that use it, those for admin and health included.
type encryptions map[encryptionKey]*encryption

// encryptionKey identifies a listener: one for callers may be called admin, too.
type encryptionKey struct {
	listener string
	callers  bool
}

const (
	adminListenerName  = "admin"
	healthListenerName = "health"
)

// planEncryptions returns the TLS of the listeners of a set, and warnings about files whose previous content stays in use.
func planEncryptions(set *config.Set, running encryptions) (encryptions, config.Problems, error) {
	next := make(encryptions)
	var warnings config.Problems
	for _, t := range set.Manifest.ServerTLS() {
		key := encryptionKey{t.Listener, strings.HasPrefix(t.Path, "listeners")}
		server, found, err := credentials.ServerTLS(set, t, running[key].current())
		if err != nil {
			return nil, warnings, err
		}
		warnings = append(warnings, found...)
		next[key] = newEncryption(server, key.alpn(t.Protocols), running[key])
	}
	return next, warnings, nil
}

// alpn returns the protocols that a listener offers.
func (k encryptionKey) alpn(protocols []string) []string {
	switch {
	case !k.callers:
		return []string{"http/1.1"}
	case slices.Contains(protocols, wire.TransportHTTP):
		return []string{"h2", "http/1.1"}
	}
	return nil
}

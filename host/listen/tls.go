package listen

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/wire"
)

// encryption is the TLS of a listener. The certificate changes under its tls.Config, so that sessions can be resumed after
// that. Another tls.Config, which resumes none, takes the place of one that verified clients differently.
type encryption struct {
	server    *credentials.Server
	protocols []string                            // of ALPN
	inForce   *atomic.Pointer[credentials.Server] // of config
	config    *tls.Config
}

// newEncryption returns the TLS of a listener that has had running, or nil, so far. Commit has it take effect.
func newEncryption(s *credentials.Server, protocols []string, running *encryption) *encryption {
	if running != nil && running.server.Trust == s.Trust && slices.Equal(running.protocols, protocols) {
		return &encryption{server: s, protocols: protocols, inForce: running.inForce, config: running.config}
	}
	inForce := new(atomic.Pointer[credentials.Server])
	return &encryption{server: s, protocols: protocols, inForce: inForce, config: &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols, ClientCAs: s.ClientCAs, ClientAuth: s.ClientAuth,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return inForce.Load().Current(time.Now()), nil },
	}}
}

// notAfter returns the end of the certificate in use.
func (e *encryption) notAfter() time.Time { return e.server.Current(time.Now()).Leaf.NotAfter }

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
	if e != nil {
		e.inForce.Store(e.server)
	}
	return e.current()
}

// current returns the configuration for new connections; nil for a nil encryption.
func (e *encryption) current() *tls.Config {
	if e == nil {
		return nil
	}
	return e.config
}

// credentials returns what the listener uses; nil for a nil encryption.
func (e *encryption) credentials() *credentials.Server {
	if e == nil {
		return nil
	}
	return e.server
}

// encryptions holds the TLS of the listeners that use it, those for admin and health included.
type encryptions map[string]*encryption

// planEncryptions returns the TLS of the listeners of a set, and warnings about files whose previous content stays in use.
func planEncryptions(set *config.Set, running encryptions) (encryptions, config.Problems, error) {
	next := make(encryptions)
	var warnings config.Problems
	for _, t := range set.Manifest.ServerTLS() {
		server, found, err := credentials.ServerTLS(set, t, running[t.Listener].credentials())
		if err != nil {
			return nil, warnings, err
		}
		warnings = append(warnings, found...)
		next[t.Listener] = newEncryption(server, alpn(t), running[t.Listener])
	}
	return next, warnings, nil
}

// alpn returns the protocols that a listener offers to its clients.
func alpn(t config.ServerTLS) []string {
	switch {
	case t.Listener == config.AdminListener, t.Listener == config.HealthListener:
		return []string{"http/1.1"}
	case slices.Contains(t.Protocols, wire.TransportHTTP):
		return []string{"h2", "http/1.1"}
	}
	return nil
}

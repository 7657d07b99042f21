package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
)

// tlsFiles are the files of a TLS client, and the flags that name them.
type tlsFiles struct{ caFlag, ca, certFlag, cert, keyFlag, key string }

// config reads the files.
func (f *tlsFiles) config(ctx context.Context) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		data, err := readFlag(ctx, f.caFlag, f.ca, config.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, failed("%s: %s contains no PEM certificate", f.caFlag, f.ca)
		}
	}
	if f.cert == "" {
		return c, nil
	}
	cert, err := readFlag(ctx, f.certFlag, f.cert, config.MaxFileBytes)
	if err != nil {
		return nil, err
	}
	key, err := readFlag(ctx, f.keyFlag, f.key, config.MaxFileBytes)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.certFlag, f.keyFlag, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// tlsFlags are the flags of a command that calls over TLS.
type tlsFlags struct {
	on                   bool
	ca, cert, key, named string
}

func (f *tlsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.on, "tls", false, "use TLS; the flags below imply it, and so does tls of the listener in the manifest")
	flags.StringVar(&f.ca, "ca", "", "`FILE` with the CA certificate of the service (PEM; default: those of the system)")
	flags.StringVar(&f.cert, "cert", "", "`FILE` with the client certificate (PEM)")
	flags.StringVar(&f.key, "key", "", "`FILE` with the private key of the client certificate (PEM)")
	flags.StringVar(&f.named, "server-name", "", "`NAME` that the certificate of the service must have (default: the host of the address)")
	_ = cmd.RegisterFlagCompletionFunc("server-name", cobra.NoFileCompletions)
}

// config returns the TLS to use; nil without the flags.
func (f *tlsFlags) config(ctx context.Context) (*tls.Config, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, usageError("--cert and --key must be used together")
	}
	if !f.on && f.ca == "" && f.cert == "" && f.named == "" {
		return nil, nil //nolint:nilnil // TLS is optional
	}
	c, err := (&tlsFiles{"--ca", f.ca, "--cert", f.cert, "--key", f.key}).config(ctx)
	if err == nil {
		c.ServerName = f.named
	}
	return c, err
}

// dialTLS connects to an address, over TLS if conf is not nil.
func dialTLS(ctx context.Context, network, address string, conf *tls.Config) (net.Conn, error) {
	var d net.Dialer
	if conf == nil {
		return d.DialContext(ctx, network, address)
	}
	if conf.ServerName == "" && network == "unix" {
		conf = conf.Clone()
		conf.ServerName = "localhost"
	}
	c, err := (&tls.Dialer{NetDialer: &d, Config: conf}).DialContext(ctx, network, address)
	return c, handshakeAdvice(err)
}

// handshakeAdvice adds to a failed handshake which flag helps.
func handshakeAdvice(err error) error {
	var (
		signer x509.UnknownAuthorityError
		name   x509.HostnameError
		plain  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &signer):
		return fmt.Errorf("%w: pass the CA that signed the certificate of the service with --ca", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: pass a name in the certificate of the service with --server-name", err)
	case errors.As(err, &plain), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: does the port use TLS?", err)
	}
	return err
}

// alerted adds advice to an alert of the peer, which arrives in place of an answer.
func alerted(text string) string {
	if strings.Contains(text, "tls: certificate required") || strings.Contains(text, "tls: bad certificate") ||
		strings.Contains(text, "tls: unknown certificate authority") {
		return text + ": pass a certificate that the host trusts with --cert and --key"
	}
	return text
}

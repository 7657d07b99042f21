package listen

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/mux"
)

// mismatches tells peers that use TLS where they should not, and those that do not where they should.
type mismatches struct {
	host   string
	limits wire.Limits
}

// mismatchTexts are the answers to peers, and mismatchAdvice the advice in the log, by reason.
var (
	mismatchTexts = map[string]string{
		mux.RejectPlain: "this port requires TLS",
		mux.RejectTLS:   "this port does not use TLS: connect without it",
	}
	mismatchAdvice = map[string]string{
		mux.RejectPlain: "the peer must use TLS (https://, or tls of its upstream): the listener has tls",
		mux.RejectTLS:   "the peer uses TLS and must not: the listener has no tls",

		mux.RejectHandshakes: "many peers begin a TLS handshake and do not finish it: find out which, and restrict access to this address",
	}
)

const (
	maxUntold = 64 << 10               // bytes of a peer that are read before the connection is closed
	toldWait  = 100 * time.Millisecond // how long a peer that was told has to close the connection
)

// answer sends a peer the reason why its connection is closed: clients of HTTP and of TLS by an HTTP response, clients of rpcx by errors
// in the answers to their first calls.
func (m mismatches) answer(c net.Conn, reason string) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	text := mismatchTexts[reason]
	switch {
	case first[0] == wire.Magic:
		m.answerCalls(&replayed{c, first}, text)
	case first[0] >= 'A' && first[0] <= 'Z', reason == mux.RejectTLS:
		text += "\n"
		fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			http.StatusBadRequest, http.StatusText(http.StatusBadRequest), len(text), text)
	default:
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil { // a reset would destroy the answer
		_ = c.SetReadDeadline(time.Now().Add(toldWait))
		_, _ = io.CopyN(io.Discard, c, maxUntold)
	}
}

// answerCalls answers frames with an error, up to the first call that waits for an answer. It keeps none that is large.
func (m mismatches) answerCalls(c net.Conn, text string) {
	limits := m.limits
	limits.MaxMessageBytes = min(limits.MaxMessageBytes, maxUntold)
	in := wire.NewReader(c, limits)
	defer in.Release()
	for waits := true; waits; {
		var f wire.Frame
		var large *wire.FrameError
		if err := in.Read(&f); err != nil && (!errors.As(err, &large) || large.Fatal) || f.Type != wire.Request {
			return
		}
		if f.OneWay {
			continue
		}
		f.Type, f.Metadata, waits = wire.Response, nil, f.Heartbeat
		wire.SetError(&f, code.Refuse(code.Unavailable, code.ReasonNoEndpoint, text, "", m.host, 0))
		if _, err := c.Write(wire.AppendFrame(nil, &f)); err != nil {
			return
		}
	}
}

// replayed is a connection of which the first bytes have been read.
type replayed struct {
	net.Conn
	ahead []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.ahead) > 0 {
		n := copy(b, r.ahead)
		r.ahead = r.ahead[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// tlsAdvice returns what to do about a connection that was rejected because of TLS.
func tlsAdvice(reason string, err error) string {
	var (
		signer  x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &signer):
		return "the certificate of the client is not signed by a CA in clientCAFile of tls"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate of the client, or correct the clock"
	case err != nil && strings.HasPrefix(err.Error(), "remote error: "):
		return "the client does not accept the certificate of the host: give it the CA, and the name that is in the certificate"
	case err != nil && strings.Contains(err.Error(), "didn't provide a certificate"):
		return "clientAuth is require: the client must present a certificate of a CA in clientCAFile"
	}
	return mismatchAdvice[reason]
}

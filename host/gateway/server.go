package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/easymicro/easymicro/wire"
)

const (
	headerTimeout  = 5 * time.Second
	maxHeaderBytes = 32 << 10
)

// NewServer makes an HTTP server with every bound that a hostile peer needs: headers of 32 KiB within 5 s, idle
// connections for the limits' IdleTimeout. HTTP/1.1, HTTP/2 with TLS and h2c are on. Bodies and answers are bounded by
// the Gateway itself, since only it knows when a call runs and is not to be cut.
func NewServer(h http.Handler, l wire.Limits, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       l.WithDefaults().IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes - 4096, // net/http adds that much
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

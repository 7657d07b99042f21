package telemetry

import (
	"log/slog"
	"strings"
)

// redacted stands where a secret would have been.
const redacted = "[redacted]"

// secretKeys are attributes whose value never reaches a log, whoever logs it. Compared in lower case, - as _.
var secretKeys = map[string]bool{
	"authorization": true, "proxy_authorization": true, "__auth": true, "token": true, "bearer": true, "password": true,
	"passwd": true, "secret": true, "client_secret": true, "api_key": true, "apikey": true, "access_key": true,
	"private_key": true, "cookie": true, "set_cookie": true, "credential": true, "credentials": true,
}

func redact(_ []string, a slog.Attr) slog.Attr {
	if secretKeys[strings.ReplaceAll(strings.ToLower(a.Key), "-", "_")] && a.Value.Kind() != slog.KindGroup {
		a.Value = slog.StringValue(redacted)
	}
	return a
}

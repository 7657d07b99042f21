package config

import (
	"strings"
	"testing"
)

func TestAnOTLPEndpointHasAProtocolAndAnAddress(t *testing.T) {
	for text, want := range map[string]OTLP{
		"":                          {},
		"http://c:4318":             {Address: "c:4318", Path: "/v1/traces"},
		"http://c:4318/":            {Address: "c:4318", Path: "/v1/traces"},
		"http://c":                  {Address: "c:4318", Path: "/v1/traces"},
		"HTTPS://c:443/otlp/traces": {TLS: true, Address: "c:443", Path: "/otlp/traces"},
		"grpc://c":                  {GRPC: true, Address: "c:4317"},
		"grpc://c:9999/":            {GRPC: true, Address: "c:9999"},
		"grpcs://[::1]:4317":        {GRPC: true, TLS: true, Address: "[::1]:4317"},
		"c:4317":                    {GRPC: true, Address: "c:4317"},
		"127.0.0.1:4318":            {Address: "127.0.0.1:4318", Path: "/v1/traces"},
	} {
		if got, err := (Traces{OTLPEndpoint: text}).OTLP(); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestAnUnusableOTLPEndpointIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"c:4000":                 "port 4000 does not imply a protocol: grpc://c:4000 or http://c:4000?",
		"c":                      `"c" is not the address of a collector`,
		":4317":                  "is not the address of a collector",
		"http://":                "is not the address of a collector",
		"http://:4318":           "is not the address of a collector",
		"http://c:99999":         `port "99999" is not a number`,
		"c:x":                    `port "x" is not a number`,
		"udp://c:4317":           "udp:// is not a way to send traces",
		"grpc://c:4317/v1":       "grpc:// takes no path; with one it is http://",
		"http://c:4318?x=1":      "without ? and #",
		"http://u:secret@c:4318": "contains credentials",
		"u:secret@c:4318/x":      "is not the address of a collector",
	} {
		_, err := (Traces{OTLPEndpoint: text}).OTLP()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: the message shows the password: %v", text, err)
		}
	}
}

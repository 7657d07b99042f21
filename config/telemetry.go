package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Telemetry configures logs, metrics and traces.
type Telemetry struct {
	Logs    Logs    `yaml:"logs" doc:"The log on stderr."`
	Metrics Metrics `yaml:"metrics" doc:"Prometheus metrics on the admin and health listeners."`
	Traces  Traces  `yaml:"traces" doc:"OpenTelemetry traces."`
}

// Logs configures the log.
type Logs struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Minimum level that is logged."`
	Format string `yaml:"format" default:"auto" enum:"auto,text,json" doc:"auto: text on a terminal, JSON elsewhere."`
}

// Metrics configures where metrics are served.
type Metrics struct {
	Path string `yaml:"path" default:"/metrics" pattern:"path" doc:"Path of the metrics."`
}

// Traces configures where traces are sent.
type Traces struct {
	OTLPEndpoint string `yaml:"otlpEndpoint" doc:"OpenTelemetry collector for the traces: http://host:4318 (OTLP/HTTP, optionally with a path), grpc://host:4317 (OTLP/gRPC), https:// and grpcs:// with TLS. Default: none, no traces."`
	SampleRatio  Share  `yaml:"sampleRatio" default:"0.05" doc:"Ratio of the calls to sample if the caller has not decided; otherwise its decision applies. 0: none."`
}

// OTLP is a destination for traces.
type OTLP struct {
	GRPC    bool   // OTLP/gRPC; otherwise OTLP/HTTP
	TLS     bool   // with the system's certificate authorities
	Address string // host:port
	Path    string // for OTLP/HTTP
}

const (
	otlpForms     = "http://host:4318, https://host:4318/path, grpc://host:4317 or grpcs://host:4317"
	otlpGRPCPort  = "4317"
	otlpHTTPPort  = "4318"
	otlpTracePath = "/v1/traces"
)

var otlpSchemes = map[string]OTLP{
	"http": {}, "https": {TLS: true}, "grpc": {GRPC: true}, "grpcs": {GRPC: true, TLS: true},
}

// OTLP parses otlpEndpoint: a URL, or host:port with one of the two registered ports. The zero OTLP means that
// traces are off.
func (t Traces) OTLP() (OTLP, error) {
	text := t.OTLPEndpoint
	if text == "" {
		return OTLP{}, nil
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return bareOTLP(text)
	}
	o, known := otlpSchemes[strings.ToLower(scheme)]
	if !known {
		return OTLP{}, fmt.Errorf("%s:// is not a way to send traces: %s", clip(scheme), otlpForms)
	}
	u, err := url.Parse("x://" + rest)
	switch {
	case err != nil || u.Hostname() == "":
		return OTLP{}, fmt.Errorf("%q is not the address of a collector: %s", clip(withoutUser(text)), otlpForms)
	case u.User != nil:
		return OTLP{}, errors.New("contains credentials: set the variable OTEL_EXPORTER_OTLP_HEADERS instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return OTLP{}, errors.New("must end with the path, without ? and #")
	case o.GRPC && strings.Trim(u.Path, "/") != "":
		return OTLP{}, fmt.Errorf("%s:// takes no path; with one it is %s", scheme, strings.Replace(strings.ToLower(scheme), "grpc", "http", 1)+"://")
	}
	port := u.Port()
	if port == "" {
		port = otlpHTTPPort
		if o.GRPC {
			port = otlpGRPCPort
		}
	}
	if err := portNumber(port); err != nil {
		return OTLP{}, err
	}
	o.Address = net.JoinHostPort(u.Hostname(), port)
	if !o.GRPC {
		o.Path = otlpTracePath
		if strings.Trim(u.Path, "/") != "" {
			o.Path = u.Path
		}
	}
	return o, nil
}

// bareOTLP parses host:port. Only the two registered ports imply a protocol.
func bareOTLP(text string) (OTLP, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(text, "/?#@ ") {
		return OTLP{}, fmt.Errorf("%q is not the address of a collector: %s", clip(withoutUser(text)), otlpForms)
	}
	switch port {
	case otlpGRPCPort:
		return OTLP{GRPC: true, Address: text}, nil
	case otlpHTTPPort:
		return OTLP{Address: text, Path: otlpTracePath}, nil
	}
	if err := portNumber(port); err != nil {
		return OTLP{}, err
	}
	return OTLP{}, fmt.Errorf("port %s does not imply a protocol: grpc://%s or http://%s?", port, text, text)
}

func portNumber(port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", clip(port))
	}
	return nil
}

// withoutUser keeps text before an @ out of messages: it may be a password.
func withoutUser(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

package config

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Listener is an address where a host accepts calls.
type Listener struct {
	Name      string   `yaml:"name" required:"true" pattern:"name" doc:"Name of the listener, unique, and neither admin nor health."`
	Address   Address  `yaml:"address" required:"true" doc:"tcp://host:port, unix://path, host:port, :port, or systemd:NAME for a socket that systemd passes: NAME is FileDescriptorName= of its .socket unit."`
	Protocols []string `yaml:"protocols" default:"rpcx,http" enum:"rpcx,http" effect:"more" doc:"Protocols; the first byte of a connection selects one."`
	TLS       *TLS     `yaml:"tls" reload:"live" doc:"TLS of the listener, version 1.2 or later. Default: none, and clients that use TLS are rejected. A change applies to new connections; when a CA of clients is removed, or clientAuth is stricter, connections of clients that have lost trust are drained, and closed after 30 s."`
	Limits    Limits   `yaml:"limits" reload:"live" effect:"more" doc:"Limits for each peer. A change applies to new connections."`

	ProxyProtocol *ProxyProtocol `yaml:"proxyProtocol" reload:"live" doc:"PROXY headers of balancers in TCP mode. Default: none, and connections with one are rejected. A change applies to new connections."`
}

// ProxyProtocol lists the peers that connect on behalf of others.
type ProxyProtocol struct {
	From []string `yaml:"from" required:"true" pattern:"proxy" doc:"Networks (10.0.0.0/8) of balancers, and unix for peers that connect to a unix listener. From there a PROXY header, version 1 or 2, is required; from all others it is refused."`
}

// TLS configures the certificates of a listener.
type TLS struct {
	CertFile     string `yaml:"certFile" required:"true" doc:"PEM file with the certificate chain. The files of tls are followed: new content applies to new connections. If the certificate and the key do not match, or the certificate has expired or is not valid yet, the previous ones stay in use. A certificate that is not valid yet is used from its first day."`
	KeyFile      string `yaml:"keyFile" required:"true" doc:"PEM file with the key."`
	ClientCAFile string `yaml:"clientCAFile" doc:"PEM file with the CA certificates for clients. Required by clientAuth. When one is removed, open connections of clients that it has signed are drained, and closed after 30 s at the latest. The same happens when the certificate of a client expires."`
	ClientAuth   string `yaml:"clientAuth" default:"none" enum:"none,request,require" effect:"less" doc:"Certificates of clients. require: the handshake fails without one. request: one is optional. In either case it must be signed by a CA of clientCAFile."`
}

// Values of TLS.ClientAuth.
const (
	ClientAuthNone    = "none"
	ClientAuthRequest = "request"
	ClientAuthRequire = "require"
)

// Names of the listeners for operators and probes. Other listeners cannot have them.
const (
	AdminListener  = "admin"
	HealthListener = "health"
)

// Limits bounds the peers of a listener.
type Limits struct {
	MaxConnections           int      `yaml:"maxConnections" default:"16384" min:"1" max:"1000000" doc:"Maximum number of open connections."`
	MaxMessageBytes          Bytes    `yaml:"maxMessageBytes" default:"4MiB" min:"1KiB" max:"1GiB" doc:"Maximum size of a message on the wire."`
	MaxDecompressedBytes     Bytes    `yaml:"maxDecompressedBytes" default:"16MiB" min:"1KiB" max:"1GiB" doc:"Maximum size of a payload once decompressed."`
	MaxInFlightPerConnection int      `yaml:"maxInFlightPerConnection" default:"1000" min:"1" max:"1000000" doc:"Maximum number of calls in flight on one connection."`
	MaxMetadataBytes         Bytes    `yaml:"maxMetadataBytes" default:"8KiB" min:"1KiB" max:"1MiB" doc:"Maximum size of the metadata of a call."`
	MaxMetadataPairs         int      `yaml:"maxMetadataPairs" default:"64" min:"8" max:"10000" doc:"Maximum number of metadata pairs of a call."`
	FirstByteTimeout         Duration `yaml:"firstByteTimeout" default:"2m" min:"1ms" max:"1h" doc:"How long a new connection may be silent. rpcx clients connect before they send anything."`
	IdleTimeout              Duration `yaml:"idleTimeout" default:"2m" min:"1ms" max:"24h" doc:"How long a connection without calls is kept."`
	MaxConnectionAge         Duration `yaml:"maxConnectionAge" default:"0s" min:"0s" doc:"Age, ±10 %, at which a connection is drained: rpcx clients that understand the drain frame and clients of HTTP/2 are told, HTTP/1.1 responses have Connection: close, and the connection is closed once it is idle, never during a call. 0s: unlimited."`
}

// Auth configures how callers are identified.
type Auth struct {
	Identify       []string `yaml:"identify" enum:"mtls,jwt,token" effect:"less" doc:"Ways to identify the caller, in order; the first that succeeds is used. Default: none, every caller is anonymous."`
	MTLS           *MTLS    `yaml:"mtls" doc:"Callers identified by their certificate, which a listener with clientAuth has verified."`
	JWT            *JWT     `yaml:"jwt" doc:"Callers identified by a signed token (JWT), in the place of other tokens: __AUTH, or Authorization: Bearer."`
	Tokens         *Tokens  `yaml:"tokens" doc:"Callers identified by a token from a list."`
	TrustedProxies []string `yaml:"trustedProxies" pattern:"proxy" effect:"more" doc:"Networks (10.0.0.0/8) whose X-Forwarded-For counts for peer, and unix for peers that connect to a unix listener."`
}

// ClaimNames returns the names of the claims that callers may have, sorted.
func (a *Auth) ClaimNames() []string {
	if a.JWT == nil || !slices.Contains(a.Identify, "jwt") {
		return nil
	}
	return slices.Sorted(maps.Keys(a.JWT.Claims))
}

// UnixPeers is the entry in a list of networks for peers of unix listeners.
const UnixPeers = "unix"

// MTLS identifies callers by their client certificate.
type MTLS struct {
	CallerFrom string `yaml:"callerFrom" required:"true" enum:"san.uri,san.dns,cn" doc:"Part of the certificate that is the caller: its first URI (spiffe://example/web), its first DNS name, or its common name. A certificate without it does not identify its caller."`
}

// Values of MTLS.CallerFrom.
const (
	CallerFromURI        = "san.uri"
	CallerFromDNS        = "san.dns"
	CallerFromCommonName = "cn"
)

// JWT identifies callers by a signed token.
type JWT struct {
	JWKSFile    string `yaml:"jwksFile" doc:"JSON Web Key Set with the public keys of the issuer: RSA, EC or Ed25519. Read again when it changes; invalid content keeps the keys before, with a warning. This or jwksURL is required."`
	Issuer      string `yaml:"issuer" required:"true" doc:"Required value of iss."`
	Audience    string `yaml:"audience" required:"true" doc:"Required value of aud, or of one of its elements."`
	CallerClaim string `yaml:"callerClaim" default:"sub" doc:"Claim that is the caller, a string of at most 255 characters without blanks and *. A token without it is refused."`

	JWKSURL string     `yaml:"jwksURL" doc:"URL of the JSON Web Key Set, https:// or, on this machine, http://. Fetched at the start, again every 15 minutes or as Cache-Control: max-age says (1 minute to 24 hours), and when a token names an unknown key, at most every 10 seconds. While it cannot be fetched, the last keys stay in use; before the first ones have come, calls with a signed token get UNAVAILABLE (no_keys). An edit to a URL that delivers no keys is rejected."`
	TLS     *ClientTLS `yaml:"tls" doc:"TLS to the host of jwksURL. Default: https:// with the CA certificates of the system."`

	Claims map[string]string `yaml:"claims" pattern:"claim" doc:"Claims that rules may use, by the name that they use: tenant: org makes the claim org match.identity.tenant and the key identity.tenant. At most 8. A string is used as it is, a number or a boolean as its JSON text, a list of one such value as that value and a longer one as its JSON text, so that *\"admin\"* matches a list with admin. A token with another value, or with one above 255 bytes, is refused."`
}

// Tokens identifies callers by a list of tokens.
type Tokens struct {
	File string `yaml:"file" required:"true" doc:"File with a list of {caller, sha256, expires}; several may be valid for one caller."`
}

// Token identifies a caller. It holds the hash of the token only.
type Token struct {
	Caller  string    `yaml:"caller" json:"caller" required:"true" pattern:"caller" reload:"live" doc:"Caller that the token identifies."`
	SHA256  string    `yaml:"sha256" json:"-" required:"true" pattern:"sha256" reload:"live" doc:"SHA-256 of the token, 64 hexadecimal digits (lower case once decoded)."`
	Expires time.Time `yaml:"expires" json:"expires,omitzero" reload:"live" doc:"When it expires; there is a warning seven days before, and when it does. Default: never."`

	position Position
}

// Position returns where the token is in its file.
func (t Token) Position() Position { return t.position }

// String returns the caller, never the hash.
func (t Token) String() string { return "token of " + t.Caller }

// GoString returns String.
func (t Token) GoString() string { return t.String() }

// LogValue returns String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

func (t *Token) setPositions(_ string, at positions) { t.position = at.position("") }

func (t *Token) entry() tokenEntry {
	return tokenEntry{t.String(), t.SHA256, "", Expiry{Caller: t.Caller, At: t.Expires, Position: t.position}}
}

// tokenEntry is a token of any list.
type tokenEntry struct {
	text   string // as shown
	sha256 string
	role   string // of an admin token
	expiry Expiry
}

// entries returns the tokens of a list.
func entries[T any, P interface {
	*T
	entry() tokenEntry
}](list []T) []tokenEntry {
	all := make([]tokenEntry, len(list))
	for i := range list {
		all[i] = P(&list[i]).entry()
	}
	return all
}

// Gateway configures how HTTP callers reach methods.
type Gateway struct {
	Routes []Route       `yaml:"routes" doc:"Custom paths for methods."`
	Get    []string      `yaml:"get" effect:"more" doc:"Methods (Service.Method) that may be called by GET. Default: none."`
	Remote *Remote       `yaml:"remote" doc:"Routes to services found by discovery. Default: none."`
	Errors GatewayErrors `yaml:"errors" doc:"What errors reveal."`
	CORS   CORS          `yaml:"cors" doc:"Which origins may call from a browser, besides the host's own."`

	Metadata map[string]string `yaml:"metadata" doc:"HTTP headers that become metadata of a call: metadata name: header, such as x-tenant: X-Tenant. Rules may then key on metadata.x-tenant. Names that identify the caller and headers of the connection are refused. Default: none; Traceparent, Tracestate and Baggage always do."`

	Hosts []string `yaml:"hosts" pattern:"hostname" effect:"more" doc:"Additional names (orders.example, without port) that listeners on loopback accept in the Host header, besides localhost and IP addresses; 403 for others. This protects against DNS rebinding, where a web page reaches such a listener through the browser of a visitor. Peers in auth.trustedProxies may send any name, and a listener on other addresses, or on all, accepts any name, over loopback too. Default: none."`

	JSONRPC JSONRPC `yaml:"jsonrpc" doc:"JSON-RPC 2.0."`

	UnknownFields string `yaml:"unknownFields" default:"ignore" enum:"ignore,reject" effect:"less" doc:"What to do with members of JSON bodies, nested ones too, and query parameters that the argument does not have. ignore: callers may be newer than hosts. reject: 400, with the name that was probably meant. Arguments that are maps, or decode themselves, have no unknown members; payloads for services of other hosts pass undecoded."`
}

// JSONRPC configures JSON-RPC 2.0 over HTTP.
type JSONRPC struct {
	Path string `yaml:"path" doc:"Path for POST requests of JSON-RPC 2.0, such as /rpc: the method is Service.Method, and params the argument, an object or a list with it alone. Notifications are one-way calls; a batch has at most 100 calls. All rules, limits and headers apply to each call as over POST /{service}/{method}. Default: none."`
}

// UnknownReject is the value of Gateway.UnknownFields that rejects unknown fields.
const UnknownReject = "reject"

// Route is a custom HTTP path of a method.
type Route struct {
	Path    string   `yaml:"path" required:"true" doc:"Path, a pattern of net/http: /v1/mul, /v1/orders/{id}."`
	Methods []string `yaml:"methods" default:"POST" enum:"GET,POST,PUT,PATCH,DELETE" effect:"more" doc:"HTTP methods."`
	Service string   `yaml:"service" required:"true" doc:"Service that is called."`
	Method  string   `yaml:"method" required:"true" doc:"Method that is called."`
}

// Remote lets a gateway reach services of other hosts.
type Remote struct {
	Etcd     string   `yaml:"etcd" required:"true" pattern:"name" doc:"Name of an entry of discovery.etcd."`
	Services []string `yaml:"services" required:"true" pattern:"glob" effect:"more" doc:"Services that may be reached; globs."`

	TLS *ClientTLS `yaml:"tls" doc:"TLS to the hosts of the services. Default: none. Without serverName each certificate must have the host of its address, which is often an IP address."`
}

// GatewayErrors configures what errors reveal to HTTP callers.
type GatewayErrors struct {
	ExposeInternal bool `yaml:"exposeInternal" default:"false" effect:"more" doc:"Show callers the panic message of a handler, over HTTP and rpcx. The text of ordinary errors always reaches them."`
}

// CORS lists the web origins that may call.
type CORS struct {
	AllowOrigins []string `yaml:"allowOrigins" effect:"more" doc:"Origins (https://app.example) that may call from a browser, or *. Default: none."`
}

// Health configures the listener for kubelets and scrapers.
type Health struct {
	Address Address `yaml:"address" doc:"Address of the listener, unix://path or systemd:NAME. Default: off."`
	TLS     *TLS    `yaml:"tls" reload:"live" doc:"TLS of the listener. A change applies to new connections."`
}

// Allows reports whether services of that name may be reached on other hosts.
func (r *Remote) Allows(service string) bool {
	return r != nil && wildcard.MatchAny(r.Services, service)
}

// AllowsSpelling reports whether a service of that name, in any case, may be reached on other hosts.
func (r *Remote) AllowsSpelling(service string) bool {
	return slices.ContainsFunc(r.Services, func(pattern string) bool {
		return wildcard.Match(strings.ToLower(pattern), strings.ToLower(service))
	})
}

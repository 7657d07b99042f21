package config

import (
	"log/slog"
	"time"
)

// Auth says how the caller of a call is known.
type Auth struct {
	Identify       []string `yaml:"identify" enum:"mtls,jwt,token" laterEnum:"mtls,jwt" doc:"Ways to know the caller; the first that answers. Default: none, every caller is anonymous."`
	MTLS           *MTLS    `yaml:"mtls" later:"true" doc:"Callers known by their certificate."`
	JWT            *JWT     `yaml:"jwt" later:"true" doc:"Callers known by a signed token."`
	Tokens         *Tokens  `yaml:"tokens" doc:"Callers known by a token of a list."`
	TrustedProxies []string `yaml:"trustedProxies" pattern:"proxy" doc:"Networks (10.0.0.0/8) whose X-Forwarded-For counts for peer, and unix for peers that connect to a unix listener."`
}

// UnixPeers is the word among networks for peers that connect to a unix listener.
const UnixPeers = "unix"

// MTLS takes the caller from the client certificate.
type MTLS struct {
	CallerFrom string `yaml:"callerFrom" required:"true" enum:"san.uri,san.dns,cn" doc:"Part of the certificate that is the caller."`
}

// JWT takes the caller from a signed token.
type JWT struct {
	JWKSFile    string `yaml:"jwksFile" required:"true" doc:"File of the keys."`
	Issuer      string `yaml:"issuer" required:"true" doc:"Issuer that is required."`
	Audience    string `yaml:"audience" required:"true" doc:"Audience that is required."`
	CallerClaim string `yaml:"callerClaim" default:"sub" doc:"Claim that is the caller."`
}

// Tokens takes the caller from a list of tokens.
type Tokens struct {
	File string `yaml:"file" required:"true" doc:"File with a list of {caller, sha256, expires}; several may be valid for one caller."`
}

// Token makes one caller known. The token itself is not here, only its hash.
type Token struct {
	Caller  string    `yaml:"caller" json:"caller" required:"true" pattern:"caller" reload:"live" doc:"Caller that the token stands for."`
	SHA256  string    `yaml:"sha256" json:"-" required:"true" pattern:"sha256" reload:"live" doc:"SHA-256 of the token, 64 hexadecimal digits (lower case once decoded)."`
	Expires time.Time `yaml:"expires" json:"expires,omitzero" reload:"live" doc:"When it stops being valid; told seven days before, and when it happens. Default: never."`

	position Position
}

// Position is where the token stands in its file.
func (t Token) Position() Position { return t.position }

// String tells the caller, never the hash.
func (t Token) String() string { return "token of " + t.Caller }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue is String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

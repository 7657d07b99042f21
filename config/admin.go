package config

import (
	"log/slog"
	"time"
)

// Admin configures the listener for operators.
type Admin struct {
	Address   Address      `yaml:"address" default:"127.0.0.1:8970" doc:"Address of the listener, unix://path or systemd:NAME. Empty: off. An address beyond loopback, or from systemd, needs tokenFile or tokens."`
	TokenFile string       `yaml:"tokenFile" reload:"live" effect:"neutral" doc:"File with a bearer token of role operate; read again when it changes. The history and the audit log have the address of its users. Without it and tokens, everyone on this machine is an operator."`
	Tokens    *AdminTokens `yaml:"tokens" reload:"live" effect:"neutral" doc:"Operators identified by a token from a list, each with a role."`
	TLS       *TLS         `yaml:"tls" reload:"live" doc:"TLS of the listener. A change applies to new connections."`
	Console   bool         `yaml:"console" default:"false" reload:"live" later:"true" doc:"Serve the web console."`
	PProf     bool         `yaml:"pprof" default:"false" doc:"Serve /debug/pprof, to tokens of role operate."`
}

// NeedsToken reports whether the listener accepts only requests with a token.
func (a *Admin) NeedsToken() bool { return a.TokenFile != "" || a.Tokens != nil }

// adminTokensField is the field that names the file of admin tokens.
const adminTokensField = "admin.tokens.file"

// AdminTokens identifies operators by a list of tokens.
type AdminTokens struct {
	File string `yaml:"file" required:"true" doc:"File with a list of {name, sha256, role, expires}; several may be valid for one name. It is never shown, and a rollback leaves it as it is."`
}

// AdminToken identifies an operator. It holds the hash of the token only.
type AdminToken struct {
	Name    string    `yaml:"name" json:"name" required:"true" pattern:"name" reload:"live" doc:"Name of the operator or the tool, shown in the history and in the audit log."`
	SHA256  string    `yaml:"sha256" json:"-" required:"true" pattern:"sha256" reload:"live" doc:"SHA-256 of the token, 64 hexadecimal digits (lower case once decoded)."`
	Role    string    `yaml:"role" json:"role" required:"true" enum:"read,operate" reload:"live" doc:"What the token may do: read, by GET and HEAD; operate, everything."`
	Expires time.Time `yaml:"expires" json:"expires,omitzero" reload:"live" doc:"When it expires; there is a warning seven days before, and when it does. Default: never."`

	position Position
}

// Roles of an AdminToken.
const (
	RoleRead    = "read"
	RoleOperate = "operate"
)

// Position returns where the token is in its file.
func (t AdminToken) Position() Position { return t.position }

// String returns the name, never the hash.
func (t AdminToken) String() string { return "admin token of " + t.Name }

// GoString returns String.
func (t AdminToken) GoString() string { return t.String() }

// LogValue returns String.
func (t AdminToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

func (t *AdminToken) setPositions(_ string, at positions) { t.position = at.position("") }

func (t *AdminToken) entry() tokenEntry {
	return tokenEntry{t.String(), t.SHA256, t.Role, Expiry{Operator: t.Name, At: t.Expires, Position: t.position}}
}

// operates reports whether the token may change what runs; an unknown role, which is an error, counts.
func (t *AdminToken) operates(now time.Time) bool {
	return t.Role != RoleRead && (t.Expires.IsZero() || now.Before(t.Expires))
}

package config

import (
	"bytes"
	"fmt"
	"log/slog"
)

// Contents is what the files have that the manifest names for certificates, keys and passwords, by their path as
// written. They belong to the set: they are read together with it, and a change of one is a change of the set.
type Contents map[string][]byte

// String tells how many files there are, never what is in them.
func (c Contents) String() string { return fmt.Sprintf("%d files", len(c)) }

// GoString is String.
func (c Contents) GoString() string { return c.String() }

// LogValue is String.
func (c Contents) LogValue() slog.Value { return slog.StringValue(c.String()) }

// NamedFile is a file that a field of the manifest names.
type NamedFile struct {
	Field string // upstreams[0].tls.keyFile
	Path  string // as written
	Most  int64  // bytes that it may have
}

// NamedFiles are the files whose Contents belong to the set, by the first field that names each.
func (m *Manifest) NamedFiles() []NamedFile {
	var list []NamedFile
	seen := map[string]bool{"": true}
	add := func(field, path string, most int64) {
		if !seen[path] {
			seen[path] = true
			list = append(list, NamedFile{Field: field, Path: path, Most: most})
		}
	}
	add("admin.tokenFile", m.Admin.TokenFile, MaxSecretBytes)
	certificates := func(field string, t *ClientTLS) {
		if t != nil {
			add(field+".caFile", t.CAFile, MaxFileBytes)
			add(field+".certFile", t.CertFile, MaxFileBytes)
			add(field+".keyFile", t.KeyFile, MaxFileBytes)
		}
	}
	for i := range m.Upstreams {
		certificates(fmt.Sprintf("upstreams[%d].tls", i), m.Upstreams[i].TLS)
	}
	if m.Discovery == nil {
		return list
	}
	for i := range m.Discovery.Etcd {
		e, field := &m.Discovery.Etcd[i], fmt.Sprintf("discovery.etcd[%d]", i)
		certificates(field+".tls", e.TLS)
		add(field+".usernameFile", e.UsernameFile, MaxSecretBytes)
		add(field+".passwordFile", e.PasswordFile, MaxSecretBytes)
	}
	return list
}

// contents tells which files have something else in them now.
func (d *differ) contents(old, next *Set) {
	if old.Manifest == nil || next.Manifest == nil {
		return
	}
	for _, f := range next.Manifest.NamedFiles() {
		was, known := old.Contents[f.Path]
		if is, ok := next.Contents[f.Path]; !known || !ok || bytes.Equal(was, is) {
			continue
		}
		d.add(Change{
			Subject: f.Path, Text: f.Path + " has other content", Class: Live, Position: next.Manifest.Position(f.Field),
		})
	}
}

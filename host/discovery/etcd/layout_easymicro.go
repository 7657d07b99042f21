package etcd

import (
	"encoding/json"
	"fmt"
	"strings"
)

// easymicroLayout has one key an endpoint, <prefix><service in lower case>/<host:port>, with JSON behind it.
type easymicroLayout struct{ under string }

// published is the value. The original easymicro writes and reads the first three fields, with its encoding/json.
type published struct {
	Name     string            `json:"Name"`
	Addr     string            `json:"Addr"`
	Network  string            `json:"Network"`
	Service  string            `json:"Service,omitempty"` // the name as its host spells it
	Metadata map[string]string `json:"Metadata,omitempty"`
	Host     string            `json:"Host,omitempty"`
	Version  string            `json:"Version,omitempty"`
	Leaving  bool              `json:"Leaving,omitempty"` // the key is about to be deleted
}

func (easymicroLayout) name() string { return layoutEasymicro }

func (l easymicroLayout) prefix() string { return l.under }

func (l easymicroLayout) entries(i Instance) []entry {
	lower := strings.ToLower(i.Service)
	value := published{
		Name: lower, Addr: i.Address, Network: network(i), Service: i.Service, Metadata: i.Metadata, Host: i.Host, Version: i.Version,
	}
	farewell := value
	farewell.Leaving = true
	return []entry{{key: l.under + lower + "/" + i.Address, value: value.text(), farewell: farewell.text()}}
}

func (p published) text() string {
	text, err := json.Marshal(p)
	if err != nil { // strings always can be marshaled
		return ""
	}
	return string(text)
}

func (l easymicroLayout) parse(key string, value []byte) (node, bool) {
	rest, ok := strings.CutPrefix(key, l.under)
	v := readPublished(value)
	slash := len(rest) - len(v.Addr) - 1 // of an address that has slashes itself
	if v.Addr == "" || !strings.HasSuffix(rest, "/"+v.Addr) {
		slash = strings.LastIndexByte(rest, '/')
	}
	if !ok || slash <= 0 {
		return node{}, false
	}
	service, address := rest[:slash], rest[slash+1:]
	e, ok := endpoint(v.Network, v.Addr)
	if !ok {
		if e, ok = endpoint(v.Network, address); !ok {
			if e, ok = endpoint("", address); !ok {
				return node{}, false
			}
		}
	}
	n := node{Endpoint: e, service: strings.ToLower(service), lower: strings.ToLower(service), layouts: []string{layoutEasymicro}}
	n.host, n.version, n.leaving = v.Host, v.Version, v.Leaving
	if v.Service != "" && strings.EqualFold(v.Service, service) {
		n.service, n.exact = v.Service, true
	}
	n.describe(v.Metadata)
	return n, true
}

// readPublished reads as much of a value as can be understood: another program wrote it.
func readPublished(value []byte) published {
	var v published
	if len(value) == 0 || len(value) > maxValueBytes {
		return v
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return v
	}
	for name, raw := range fields {
		switch strings.ToLower(name) {
		case "addr":
			v.Addr = text(raw)
		case "network":
			v.Network = text(raw)
		case "service":
			v.Service = text(raw)
		case "host":
			v.Host = text(raw)
		case "version":
			v.Version = text(raw)
		case "leaving":
			v.Leaving = string(raw) == "true"
		case "metadata":
			v.Metadata = texts(raw)
		}
	}
	return v
}

func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // what is no string says nothing
	return s
}

func texts(raw json.RawMessage) map[string]string {
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	m := make(map[string]string, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case string:
			m[name] = value
		case float64, bool:
			m[name] = fmt.Sprint(value)
		}
	}
	return m
}

func network(i Instance) string {
	if i.Network == "" {
		return "tcp"
	}
	return i.Network
}

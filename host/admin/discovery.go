package admin

import "time"

// Upstream is a service that handlers of the host call.
type Upstream struct {
	Name      string     `json:"name"`
	Service   string     `json:"service"`
	Resolve   string     `json:"resolve"`         // where its endpoints are found: etcd main, dns billing:8972
	Error     string     `json:"error,omitempty"` // why nothing newer is known of them
	Called    bool       `json:"called"`          // endpoints are looked for at the first call
	Endpoints []Endpoint `json:"endpoints"`
	More      int        `json:"more,omitempty"` // endpoints that are not shown
}

// Endpoint is one place where a service is served.
type Endpoint struct {
	Address        string  `json:"address"`
	State          string  `json:"state"` // ready, idle, connecting, backoff, draining; stale when discovery has lost it; ejected while a rule leaves it out; live when nothing is known but that it is there
	Host           string  `json:"host,omitempty"`
	InFlight       int     `json:"in_flight"`
	LatencySeconds float64 `json:"latency_seconds,omitempty"`
	Error          string  `json:"error,omitempty"` // why it is not connected, or left out
}

// Discovery is how it stands with a cluster where services are published and found.
type Discovery struct {
	Name            string       `json:"name"`
	Connected       bool         `json:"connected"`
	Since           time.Time    `json:"since,omitzero"` // of being connected, or of not being so
	Error           string       `json:"error,omitempty"`
	Registers       bool         `json:"registers"` // this host publishes itself there
	Registered      bool         `json:"registered"`
	RegisteredSince time.Time    `json:"registered_since,omitzero"`
	Lease           string       `json:"lease,omitempty"`
	Twin            string       `json:"twin,omitempty"` // where another live host of this host's name is
	Instances       []Instance   `json:"instances"`
	Services        []Discovered `json:"services"`
	More            int          `json:"more,omitempty"` // services that are not shown
	LeftOut         []LeftOut    `json:"left_out"`       // endpoints that are not believed, the first of them
	LeftOutMore     int          `json:"left_out_more,omitempty"`
}

// LeftOut is an endpoint that was found and is not called, as its address is of a kind that allowEndpoints does not have.
type LeftOut struct {
	Service string `json:"service"`
	Address string `json:"address"`
	Kind    string `json:"kind"` // loopback, linkLocal, unix
}

// Instance is a service of the host as it is published.
type Instance struct {
	Service  string            `json:"service"`
	Address  string            `json:"address"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Discovered is a service that was found.
type Discovered struct {
	Service   string     `json:"service"`
	Endpoints []Endpoint `json:"endpoints"`
	More      int        `json:"more,omitempty"`
}

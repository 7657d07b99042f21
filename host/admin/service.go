package admin

import "encoding/json"

// Service is a service with all that a caller needs to know.
type Service struct {
	Name    string    `json:"name"`
	Aliases []string  `json:"aliases,omitempty"`
	Handler string    `json:"handler"`
	Package string    `json:"package,omitempty"`
	Ready   bool      `json:"ready"`
	Methods []Method  `json:"methods"`
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Method is one method of a service.
type Method struct {
	Name     string  `json:"name"`
	Args     Shape   `json:"args"`
	Reply    Shape   `json:"reply"`
	Example  Example `json:"example"`
	InFlight int     `json:"in_flight"`
	Routes   []Route `json:"routes,omitempty"`
}

// Example is a call that works as it stands.
type Example struct {
	Body    json.RawMessage `json:"body"`
	Chosen  bool            `json:"chosen,omitempty"` // by the author of the handler, not made from the type
	Command string          `json:"command,omitempty"`
	Curl    string          `json:"curl,omitempty"`
}

// Route is a way to a method over HTTP.
type Route struct {
	Methods []string `json:"methods"`
	Path    string   `json:"path"`
}

// Skipped is a method of a handler that is not served.
type Skipped struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

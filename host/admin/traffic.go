package admin

import "encoding/json"

// MethodStatus is a method with its calls: one of this host, or one of an upstream.
type MethodStatus struct {
	Name       string  `json:"name"` // of an upstream: Service/Method, with _OTHER for those that are not counted apart
	LastMinute Traffic `json:"last_minute"`
}

// UnmarshalJSON implements json.Unmarshaler. It accepts a name alone, which is the form of older hosts.
func (m *MethodStatus) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &m.Name) == nil {
		return nil
	}
	type object MethodStatus
	return json.Unmarshal(data, (*object)(m))
}

// Traffic counts the calls of a minute.
type Traffic struct {
	Calls          uint64            `json:"calls"`
	CallsPerSecond float64           `json:"calls_per_second"` // within the last ten seconds
	Failed         uint64            `json:"failed"`           // with UNAVAILABLE, INTERNAL or DEADLINE_EXCEEDED, and not refused
	Refused        uint64            `json:"refused"`          // refused or ended by a rule of this host, or refused before the rules
	Codes          map[string]uint64 `json:"codes,omitempty"`
	P50            Seconds           `json:"p50_seconds,omitempty"` // the durations of calls that were not refused
	P99            Seconds           `json:"p99_seconds,omitempty"`
}

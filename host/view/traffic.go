package view

import (
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/traffic"
)

// shownMethods bounds the methods of an upstream in status.
const shownMethods = 200

// Methods returns the methods of a service with their calls in the last minute.
func Methods(s *route.Service) []admin.MethodStatus {
	now := time.Now()
	var list []admin.MethodStatus
	for _, m := range s.Methods {
		list = append(list, admin.MethodStatus{Name: m.Name, LastMinute: lastMinute(m.Traffic(), now)})
	}
	return list
}

// addMethods adds those methods to an upstream that were called in the last minute.
func addMethods(v *admin.Upstream, known []traffic.Named) {
	now := time.Now()
	v.Methods = []admin.MethodStatus{}
	for _, m := range known {
		of := lastMinute(m.Method, now)
		switch {
		case of.Calls == 0:
		case len(v.Methods) == shownMethods:
			v.MethodsMore++
		default:
			v.Methods = append(v.Methods, admin.MethodStatus{Name: m.Name, LastMinute: of})
		}
	}
}

func lastMinute(m *traffic.Method, now time.Time) admin.Traffic {
	const recent = 10 * time.Second
	s, ended, latency := m.Last(time.Minute, now), m.Between(now.Add(-recent), now), m.Latency(now)
	v := admin.Traffic{
		Calls: s.Calls(), CallsPerSecond: float64(ended.Calls()) / recent.Seconds(), Failed: s.Failed, Refused: s.Refused,
		P50: admin.Seconds(latency.Quantile(0.5)), P99: admin.Seconds(latency.Quantile(0.99)),
	}
	if v.Calls > 0 {
		v.Codes = make(map[string]uint64)
		for c, n := range s.Codes() {
			v.Codes[c.String()] = n
		}
	}
	return v
}

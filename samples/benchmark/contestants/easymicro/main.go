// Command easymicro has the contestants of this project: a host under different rules, and its gateways.
package main

import (
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// unset leaves the collector of a host as the host sets it.
const unset = "unset"

func main() {
	contestant.Main(append(ofTheseSources(),
		calls("easymicro", "one rule: timeout 5s", unset, oneRule),
		calls("easymicro-nofloor", "the same with GOGC set, which turns its heap floor off", "", oneRule),
		calls("easymicro-bare", "no rule", unset, noRule),
		calls("easymicro-full", "rate limit, concurrency, circuit breaker and timeout", unset, allRules),
		contestant.Contestant{
			Description: contract.Description{
				Name: "easymicro-gateway", Note: "the gateway in the host, one rule", Loads: []string{contract.HTTP}, GOGC: unset,
			},
			Serve: serve(oneRule, noDiscovery),
			Dial:  contestant.DialHTTP(mulPath),
		},
		contestant.Contestant{
			Description: contract.Description{
				Name: "easymicro-standalone", Note: "a gateway process in front of a host, which it finds in etcd",
				Loads: []string{contract.HTTP}, Needs: []string{contract.NeedsEtcd}, GOGC: unset,
			},
			Serve: serveStandalone,
			Dial:  contestant.DialHTTP(mulPath),
		},
		contestant.Contestant{ // the host behind it, which takes part in nothing by itself
			Description: contract.Description{Name: published},
			Serve:       serve(oneRule, registering),
		},
	)...)
}

func calls(name, note, gogc, rules string) contestant.Contestant {
	return contestant.Contestant{
		Description: contract.Description{Name: name, Note: note, Loads: []string{contract.Own, contract.Shared}, GOGC: gogc},
		Serve:       serve(rules, noDiscovery),
		Dial:        dial,
	}
}

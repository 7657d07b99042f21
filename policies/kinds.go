package policies

import "github.com/easymicro/easymicro/config"

// serverKinds are the kinds that a server asks, in its order.
var serverKinds = []config.Kind{
	config.KindAccess, config.KindRateLimit, config.KindCircuitBreaker, config.KindConcurrency, config.KindTimeout,
}

// clientKinds are the kinds that a client asks, in its order.
var clientKinds = []config.Kind{
	config.KindTimeout, config.KindRateLimit, config.KindConcurrency, config.KindRetry, config.KindHedge, config.KindCircuitBreaker,
	config.KindOutlierDetection,
}

// oneWins tells the kinds of which only the most specific rule counts.
func oneWins(kind config.Kind) bool {
	switch kind { //nolint:exhaustive // all others have one winner
	case config.KindAccess, config.KindShed, config.KindRateLimit, config.KindConcurrency:
		return false
	}
	return true
}

package policies

import (
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// settingOf says in short what a rule demands.
func settingOf(r *rule, kind config.Kind) string {
	switch kind { //nolint:exhaustive // the others are not supported yet
	case config.KindAccess:
		return accessSetting(r.config.Access)
	case config.KindRateLimit:
		return rateLimitSetting(r)
	case config.KindCircuitBreaker:
		if r.clientSide() {
			return "each " + r.scope + " " + r.breakerRule.setting()
		}
		return r.breakerRule.setting()
	case config.KindConcurrency:
		if r.queue == 0 {
			return fmt.Sprintf("max %d", r.maximum)
		}
		return fmt.Sprintf("max %d, queue %d for %s", r.maximum, r.queue, config.Duration(r.queueTimeout))
	case config.KindTimeout:
		return config.Duration(r.timeout).String()
	case config.KindRetry:
		return r.retry.setting()
	case config.KindHedge:
		return r.hedge.setting()
	case config.KindOutlierDetection:
		return r.outlier.setting()
	}
	return ""
}

func accessSetting(a *config.Access) string {
	var parts []string
	for _, list := range []struct {
		word    string
		entries []config.AccessEntry
	}{{"deny", a.Deny}, {"allow", a.Allow}} {
		var who []string
		for _, e := range list.entries {
			text := listed(e.Caller)
			if len(e.Methods) > 0 {
				text += " (" + listed(e.Methods) + ")"
			}
			who = append(who, text)
		}
		if len(who) > 0 {
			parts = append(parts, list.word+" "+listed(who))
		}
	}
	return strings.Join(parts, "; ")
}

func rateLimitSetting(r *rule) string {
	c := r.config.RateLimit
	per := c.Per.String()
	if c.Per == 0 {
		per = "1s"
	}
	text := fmt.Sprintf("%s per %s, burst %d", c.Rate, per, r.limits.rate.burst)
	if len(c.Key) > 0 {
		text += " for each " + strings.Join(c.Key, " and ")
	}
	if r.maxWait > 0 {
		text += ", waits up to " + config.Duration(r.maxWait).String()
	}
	return text
}

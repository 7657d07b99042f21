package policies

import (
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// setting says in short what a rule demands.
func (r *rule) setting(kind config.Kind) string {
	switch kind { //nolint:exhaustive // the others are not supported yet
	case config.KindAccess:
		return accessSetting(r.config.Access)
	case config.KindRateLimit:
		return r.rateLimitSetting()
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

func (r *rule) rateLimitSetting() string {
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

func (r *breakerRule) setting() string {
	var when []string
	if r.failureRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s fail",
			config.Share(r.failureRate), r.minRequests, config.Duration(r.window)))
	}
	if r.consecutiveFailures > 0 {
		when = append(when, fmt.Sprintf("%d in a row fail", r.consecutiveFailures))
	}
	if r.slowCallRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s take %s",
			config.Share(r.slowCallRate), r.minRequests, config.Duration(r.window), config.Duration(r.slowCallDuration)))
	}
	return fmt.Sprintf("opens for %s when %s", config.Duration(r.openTimeout), strings.Join(when, " or "))
}

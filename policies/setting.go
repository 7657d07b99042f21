package policies

import (
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
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
			return "each " + r.scope + " " + breakerSetting(r.breaker)
		}
		return breakerSetting(r.breaker)
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
		return outlierSetting(r.outlier)
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
	text := fmt.Sprintf("%s per %s, burst %d", c.Rate, c.Per, r.limits.Rate.Burst)
	if len(c.Key) > 0 {
		text += " for each " + strings.Join(c.Key, " and ")
	}
	if r.maxWait > 0 {
		text += ", waits up to " + config.Duration(r.maxWait).String()
	}
	return text
}

func breakerSetting(s *limit.BreakerSettings) string {
	var when []string
	if s.FailureRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s fail",
			config.Share(s.FailureRate), s.MinRequests, config.Duration(s.Window)))
	}
	if s.ConsecutiveFailures > 0 {
		when = append(when, fmt.Sprintf("%d in a row fail", s.ConsecutiveFailures))
	}
	if s.SlowCallRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s take %s",
			config.Share(s.SlowCallRate), s.MinRequests, config.Duration(s.Window), config.Duration(s.SlowCallDuration)))
	}
	return fmt.Sprintf("opens for %s when %s", config.Duration(s.OpenTimeout), strings.Join(when, " or "))
}

func outlierSetting(s *limit.OutlierSettings) string {
	return fmt.Sprintf("an endpoint with %d failures in a row is left out for %s, then longer up to %s; at most %d%% of them",
		s.Failures, config.Duration(s.BaseEjection), config.Duration(s.MaxEjection), s.MaxEjectPercent)
}

package policies

import (
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

// settingOf summarizes a kind of a rule: "500 per 1s, burst 1000".
func settingOf(r *spec, kind config.Kind) string {
	switch kind {
	case config.KindAccess:
		return accessSetting(r.config.Access)
	case config.KindPriority:
		return string(*r.config.Priority)
	case config.KindRateLimit:
		return rateLimitSetting(r)
	case config.KindCircuitBreaker:
		if r.clientSide() {
			return "each " + r.scope + " " + breakerSetting(r.breaker)
		}
		return breakerSetting(r.breaker)
	case config.KindConcurrency:
		return concurrencySetting(r)
	case config.KindTimeout:
		return config.Duration(r.timeout).String()
	case config.KindRetry:
		return retrySetting(r.config.Retry)
	case config.KindHedge:
		return hedgeSetting(r.config.Hedge)
	case config.KindOutlierDetection:
		return outlierSetting(r.outlier)
	case config.KindShed:
		return "CPU above " + r.config.Shed.CPUAbove.String()
	}
	return ""
}

func concurrencySetting(r *spec) string {
	text := fmt.Sprintf("max %d", r.maximum)
	if r.bounds != nil {
		text = fmt.Sprintf("adaptive from %d to %d", r.bounds.Min, r.bounds.Max)
	}
	if r.queue > 0 {
		text += fmt.Sprintf(", queue %d for %s", r.queue, config.Duration(r.queueTimeout))
	}
	return text
}

func accessSetting(a *config.Access) string {
	var parts []string
	for _, list := range []struct {
		word    string
		entries []config.AccessEntry
	}{{"deny", a.Deny}, {"allow", a.Allow}} {
		var who []string
		for _, e := range list.entries {
			text := shortList(e.Caller)
			if len(e.Methods) > 0 {
				text += " (" + shortList(e.Methods) + ")"
			}
			who = append(who, text)
		}
		if len(who) > 0 {
			parts = append(parts, list.word+" "+shortList(who))
		}
	}
	return strings.Join(parts, "; ")
}

func rateLimitSetting(r *spec) string {
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
		when = append(when, fmt.Sprintf("%d consecutive calls fail", s.ConsecutiveFailures))
	}
	if s.SlowCallRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s take %s or longer",
			config.Share(s.SlowCallRate), s.MinRequests, config.Duration(s.Window), config.Duration(s.SlowCallDuration)))
	}
	return fmt.Sprintf("opens for %s when %s", config.Duration(s.OpenTimeout), strings.Join(when, " or "))
}

func outlierSetting(s *limit.OutlierSettings) string {
	return fmt.Sprintf("ejects an endpoint after %d consecutive failures, for %s, then longer up to %s; at most %d%% of the endpoints",
		s.Failures, config.Duration(s.BaseEjection), config.Duration(s.MaxEjection), s.MaxEjectPercent)
}

func retrySetting(c *config.Retry) string {
	text := fmt.Sprintf("up to %d attempts on %s, %s", c.MaxAttempts, shortList(c.RetryOn), c.FailMode)
	if c.PerTryTimeout > 0 {
		text += ", each up to " + c.PerTryTimeout.String()
	}
	return text + fmt.Sprintf(", backoff up to %s, growing to %s, budget %s of the calls (at least %d retries per %s)",
		c.InitialBackoff, c.MaxBackoff, c.Budget, limit.MinRetries, config.Duration(limit.BudgetWindow))
}

func hedgeSetting(c *config.Hedge) string {
	return fmt.Sprintf("up to %d attempts, another after each %s without a reply, for %s", c.MaxAttempts, c.Delay, shortList(c.Methods))
}

package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// validate runs all checkers over the set of r.
func validate(r *report) Problems {
	listenerChecker{r}.check()
	serviceChecker{r}.check()
	upstreamChecker{r}.check()
	gatewayChecker{r}.check()
	hostChecker{r}.check()
	fileChecker{r}.check()
	keepChecker{r}.check()
	ignoreChecker{r}.check()
	checkRules(r)
	return r.sorted()
}

// validateRules validates rules without a manifest. Callers count as authenticated, so rules that name one draw no
// warning.
func validateRules(rules []Rule) Problems {
	r := &report{m: &Manifest{Auth: Auth{Identify: []string{"token"}}}, rules: rules, now: time.Now()}
	checkRules(r)
	return r.sorted()
}

// hostChecker checks the settings of the host.
type hostChecker struct{ *report }

func (c hostChecker) check() {
	if d := c.m.Host.Shutdown; d.DrainDelay != nil && *d.DrainDelay > d.GracePeriod {
		c.manifest(lint.Contradiction, "host.shutdown.drainDelay", "%s is longer than gracePeriod (%s), which includes it", *d.DrainDelay, d.GracePeriod)
	}
	if c.m.Policies.OnBadStart == OnBadStartLastGood && c.m.Host.State == nil {
		c.manifest(lint.NeedsOther, "policies.onBadStart", "lastGood needs host.state, where good sets are kept")
	}
	if m := c.m.Host.Memory; m.MinHeap != nil && m.Limit > 0 && int64(*m.MinHeap) > int64(m.Limit) {
		c.manifest(lint.Contradiction, "host.memory.minHeap", "%s is above limit (%s)", *m.MinHeap, m.Limit)
	}
}

// fileChecker checks the policy files and the tokens of a set.
type fileChecker struct{ *report }

func (c fileChecker) check() {
	c.checkPolicies()
	c.checkTokens()
	c.checkSizes()
}

func (c fileChecker) checkPolicies() {
	p := &c.m.Policies
	c.globs("policies.files", p.Files)
	c.globs("policies.fallback", p.Fallback)
	if p.Watch.MaxDelay < p.Watch.Debounce {
		c.manifest(lint.Contradiction, "policies.watch.maxDelay", "%s is shorter than debounce (%s)", p.Watch.MaxDelay, p.Watch.Debounce)
	}
}

// checkSizes warns of files that are almost too large.
func (c fileChecker) checkSizes() {
	for _, name := range slices.Sorted(maps.Keys(c.texts)) {
		if n := len(c.texts[name]); 100*n >= nearPercent*MaxFileBytes {
			c.add(lint.NearBound, Position{File: name, Line: 1, Column: 1}, "", fmt.Sprintf(
				"has %d bytes, %d %% of the 1 MiB that a file may have: split it", n, 100*n/MaxFileBytes))
		}
	}
}

func (c fileChecker) checkTokens() {
	var seen names
	for i, t := range c.tokens {
		path := fmt.Sprintf("[%d]", i)
		if first, taken := seen.taken(strings.ToLower(t.SHA256), t.position); taken {
			c.add(lint.NameTaken, t.position, path, "the same token is in "+first.String()+" too")
		}
		if !t.Expires.IsZero() && t.Expires.Before(c.now) {
			c.add(lint.Expired, t.position, path, t.String()+" expired on "+t.Expires.Format(time.RFC3339))
		}
		if message, soon := t.expiry().soon(c.now); soon {
			c.add(lint.ExpiresSoon, t.position, path, t.String()+" "+message)
		}
	}
}

func (c fileChecker) globs(path string, globs []string) {
	for i, glob := range globs {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch _, err := filepath.Match(glob, "x"); {
		case glob == "":
			c.manifest(lint.Empty, at, "is empty")
		case err != nil:
			c.manifest(lint.BadSetting, at, "%q is not a valid glob: a [ is not closed", clip(glob))
		case strings.Contains(glob, "**"):
			c.manifest(lint.BadSetting, at, "** is not supported: * matches within one directory; list the directories one by one")
		}
	}
}

// checkRules checks each rule, and how rules interact.
func checkRules(r *report) {
	ruleChecker{r}.check()
	checkTimings(r)
}

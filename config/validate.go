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
	newClaimChecker(r).settings()
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

// validateRules validates rules without a manifest. Callers count as authenticated, and may have any claim, so
// rules that name one draw no warning.
func validateRules(rules []Rule) Problems {
	r := &report{m: &Manifest{Auth: Auth{Identify: []string{"token"}}}, rules: rules, now: time.Now(), anyClaim: true}
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
	c.checkList(entries(c.tokens))
	c.checkList(entries(c.operators))
	if len(c.operators) > 0 && c.m.Admin.TokenFile == "" && !slices.ContainsFunc(c.operators, func(t AdminToken) bool { return t.operates(c.now) }) {
		c.add(lint.NobodyOperates, c.operators[0].position, "", "no token can operate: what runs can be changed by the files only, not by the admin API")
	}
}

// checkList checks the tokens of one file.
func (c fileChecker) checkList(list []tokenEntry) {
	var seen names
	for i, t := range list {
		path, e := fmt.Sprintf("[%d]", i), t.expiry
		if first, taken := seen.taken(strings.ToLower(t.sha256), e.Position); taken {
			c.add(lint.NameTaken, e.Position, path, "the same token is in "+first.String()+" too")
		}
		if !e.At.IsZero() && e.At.Before(c.now) {
			c.add(lint.Expired, e.Position, path, t.text+" expired on "+e.At.Format(time.RFC3339))
		}
		if message, soon := e.soon(c.now); soon {
			c.add(lint.ExpiresSoon, e.Position, path, t.text+" "+message)
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

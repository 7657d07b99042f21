package host

import "time"

// chain is edits that are compared with the same baseline, since each but the first was made in the window of the one before.
type chain struct {
	began     time.Time
	stable    *generation // had enough calls, and no evidence against it or the edits after it for a window; nil: none
	candidate *generation // is stable at stableAt, unless the chain is undone before; nil: none
	stableAt  time.Time
}

// after returns the chain with an edit that ends w, the window of the one before.
func (c chain) after(w *window, now time.Time) chain {
	if c.candidate != nil && !now.Before(c.stableAt) {
		c.stable, c.candidate = c.candidate, nil
	}
	if c.candidate == nil && w.enough.Load() {
		c.candidate, c.stableAt = w.next, w.opened.Add(w.settings.Window.Std())
	}
	return c
}

// isOver reports whether the next edit begins another chain.
func (c *chain) isOver(window time.Duration, now time.Time) bool {
	return now.Sub(c.began) >= longestWindow*window
}

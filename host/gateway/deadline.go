package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// timeouts are the headers that say how long a caller waits, as gRPC, Connect and proxies have them.
var timeouts = []struct {
	header string
	parse  func(string) (time.Duration, bool)
	form   string
}{
	{"Grpc-Timeout", parseGRPCTimeout, "up to 8 digits and a unit of H, M, S, m, u and n, as 800m"},
	{"Connect-Timeout-Ms", parseConnectTimeout, "up to 10 digits, of milliseconds"},
	{"X-Request-Timeout", parseRequestTimeout, "a duration with a unit, as 800ms"},
}

// longestTimeout is far off, and can be added to a time.
const longestTimeout = 10 * 365 * 24 * time.Hour

// readDeadline finds out when the caller gives up: of several headers the shortest time counts.
func (x *exchange) readDeadline() *code.Error {
	shortest, given := longestTimeout, false
	for i := range timeouts {
		t := &timeouts[i]
		for _, v := range x.r.Header[t.header] {
			d, ok := t.parse(v)
			if !ok {
				return x.bad("the header " + t.header + " is not " + t.form)
			}
			shortest, given = min(shortest, d), true
		}
	}
	switch {
	case !given:
		return nil
	case shortest <= 0:
		return x.expired()
	}
	x.deadline = time.Now().Add(shortest)
	if x.r.ContentLength != 0 && shortest < x.g.limits.BodyTimeout {
		x.readBy(x.deadline)
	}
	return nil
}

// late reports whether the caller has given up.
func (x *exchange) late() bool { return !x.deadline.IsZero() && !time.Now().Before(x.deadline) }

func (x *exchange) expired() *code.Error {
	return x.refuse(code.DeadlineExceeded, code.ReasonExpired, "the caller's time was over before the call could begin")
}

// setTimeout puts what is left of the caller's time into the metadata, in whole milliseconds and never less than there is.
func (x *exchange) setTimeout() {
	if !x.deadline.IsZero() {
		left := (time.Until(x.deadline) + time.Millisecond - 1) / time.Millisecond
		x.req.Metadata.Set(wire.MetaTimeout, strconv.FormatInt(max(1, int64(left)), 10))
	}
}

// parseGRPCTimeout reads the timeout of gRPC over HTTP/2.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	n, good := digits(s[:len(s)-1], 8)
	switch {
	case n < 0:
		return -1, ok && good
	case n > int64(longestTimeout/time.Hour) && unit == time.Hour:
		return longestTimeout, good // eight digits of hours are no time.Duration
	}
	return time.Duration(n) * unit, ok && good
}

// parseConnectTimeout reads the timeout of Connect's protocol.
func parseConnectTimeout(s string) (time.Duration, bool) {
	n, ok := digits(s, 10)
	return time.Duration(n) * time.Millisecond, ok
}

func parseRequestTimeout(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// digits reads a number of at most that many digits. A negative one is a time that is over, which no protocol forbids
// its clients to compute.
func digits(s string, most int) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	plain := strings.TrimPrefix(s, "-")
	return n, err == nil && len(plain) <= most && !strings.HasPrefix(s, "+")
}

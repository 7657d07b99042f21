package admin

import (
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// params are the query parameters of a request, each known and given at most once.
type params map[string]string

func readParams(query string, known []string) (params, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, Errorf(CodeBadRequest, "invalid query string").WithHelp("escape %%, & and ; in values")
	}
	p := make(params, len(values))
	for name, v := range values {
		if !slices.Contains(known, name) {
			e := Errorf(CodeBadRequest, "unknown query parameter %q", name)
			if len(known) == 0 {
				return nil, e.WithHelp("this path takes none")
			}
			return nil, e.WithHelp("known: %s", strings.Join(known, ", "))
		}
		if len(v) > 1 {
			return nil, Errorf(CodeBadRequest, "query parameter %q is given %d times", name, len(v)).WithHelp("give it once")
		}
		p[name] = v[0]
	}
	return p, nil
}

func badValue(name, value, want string) error {
	return Errorf(CodeBadRequest, "%s: cannot read %q", name, value).WithHelp("want %s", want)
}

// flag reports whether ?name, ?name=true or ?name=1 is given.
func (p params) flag(name string) (bool, error) {
	v, ok := p[name]
	if !ok || v == "" {
		return ok, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badValue(name, v, "true or false")
	}
	return b, nil
}

// revision returns the number of a revision, such as 42 or r42, and 0 without one.
func (p params) revision() (int, error) {
	v, ok := p["revision"]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(v, "r"))
	if err != nil || n < 1 {
		return 0, badValue("revision", v, "a revision number such as 42")
	}
	return n, nil
}

// claimsParam returns claims as the value of a query parameter, itself in the form of a query: tenant=acme&plan=gold.
func claimsParam(claims map[string]string) string {
	v := make(url.Values, len(claims))
	for name, value := range claims {
		v.Set(name, value)
	}
	return v.Encode()
}

// identity reads claims from the form of claimsParam.
func (p params) identity() (map[string]string, error) {
	text, ok := p["identity"]
	if !ok {
		return nil, nil //nolint:nilnil // no claims
	}
	values, err := url.ParseQuery(text)
	if err != nil || len(values) == 0 {
		return nil, badValue("identity", text, "claims such as tenant=acme")
	}
	claims := make(map[string]string, len(values))
	for name, value := range values {
		if claims[name] = value[0]; len(value) > 1 || value[0] == "" {
			return nil, badValue("identity", text, "one value for each claim, such as tenant=acme")
		}
	}
	return claims, nil
}

func (p params) peer() (netip.Addr, error) {
	v := p["peer"]
	if v == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil {
		return netip.Addr{}, badValue("peer", v, "an IP address")
	}
	return a.Unmap(), nil
}

// since parses a time, or a duration before now.
func (p params) since(now time.Time) (time.Time, error) {
	v := p["since"]
	if v == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, nil
	}
	return time.Time{}, badValue("since", v, "a duration such as 10m, or a time such as 2026-01-02T15:04:05Z")
}

// top parses the parameters of Top.
func (p params) top() (q TopQuery, err error) {
	if by := p["by"]; by != "" {
		q.By = strings.Split(by, ",")
		for i, field := range q.By {
			if !slices.Contains(TopFields(), field) || slices.Contains(q.By[:i], field) {
				return q, badValue("by", by, "caller, method, peer or a list of them")
			}
		}
	}
	if name, given := p["method"]; given {
		var ok bool
		if q.Service, q.Method, ok = SplitMethod(name); !ok {
			return q, badValue("method", name, "a method such as Arith.Mul")
		}
	}
	q.Rows = MaxTopRows
	if rows, given := p["rows"]; given {
		if q.Rows, err = strconv.Atoi(rows); err != nil || q.Rows < 1 || q.Rows > MaxTopRows {
			return q, badValue("rows", rows, "a number from 1 to "+strconv.Itoa(MaxTopRows))
		}
	}
	return q, nil
}

// SplitMethod splits the full name of a method: Arith.Mul, or Arith/Mul as in logs, metrics, spans and paths. Names of
// services may contain dots and slashes, names of methods neither.
func SplitMethod(name string) (service, method string, ok bool) {
	name = strings.TrimPrefix(name, "/")
	i := strings.LastIndexAny(name, "./")
	if i <= 0 || i == len(name)-1 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// shown returns text of a client for use in an error, quoted and truncated.
func shown(s string) string {
	return strconv.Quote(code.Clip(s, 64))
}

// fill makes the nil lists of a struct empty: [] in JSON, not null.
func fill(s any) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.IsNil() {
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		}
	}
}

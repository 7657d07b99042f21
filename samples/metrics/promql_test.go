package metrics_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// selector is a metric that an expression reads, with its label matchers.
type selector struct {
	metric   string
	matchers []matcher
	by       []string // labels of the expression's by and without clauses
}

type matcher struct{ label, op, value string }

var (
	promToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-zA-Z.]*|=~|!~|!=|==|[^\s]`)
	// Words in the position of a metric. Functions and aggregations are recognised by the parenthesis that follows.
	promWords   = []string{"and", "or", "unless", "bool", "offset", "start", "end", "inf", "nan", "on", "ignoring", "group_left", "group_right", "by", "without"}
	promGrouped = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
)

// selectors returns the metrics that a PromQL expression reads. It parses only as much of the language as it needs.
func selectors(expr string) []selector {
	tokens := promToken.FindAllString(expr, -1)
	var found []selector
	var by []string
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		word := tokens[i]
		switch {
		case slices.Contains(promGrouped, word) && at(i+1) == "(":
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					by = append(by, tokens[i])
				}
			}
		case slices.Contains(promWords, strings.ToLower(word)), !isWord(word), slices.Contains([]string{"(", "by", "without"}, at(i+1)):
		case at(i+1) == "{":
			s := selector{metric: word}
			for i += 2; i < len(tokens) && tokens[i] != "}"; {
				if tokens[i] == "," {
					i++
					continue
				}
				s.matchers = append(s.matchers, matcher{tokens[i], at(i + 1), strings.Trim(at(i+2), `"`)})
				i += 3
			}
			found = append(found, s)
		default:
			found = append(found, selector{metric: word})
		}
	}
	for i := range found {
		found[i].by = by
	}
	return found
}

func isWord(token string) bool {
	c := token[0]
	return c == '_' || c == ':' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func TestSelectorsNamesMetricsAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want string // metric{label,…}; by labels behind a |
	}{
		{`up`, "up{}|"},
		{`a_total{x="b_total",y=~"c|d"} == 1`, "a_total{x,y}|"},
		{`sum by (rule, kind) (rate(a_total[5m])) / sum(b_sum) > 0.1`, "a_total{}|rule,kind b_sum{}|rule,kind"},
		{`histogram_quantile(0.99, sum(rate(a_bucket{le="1"}[$__rate_interval])) by (le))`, "a_bucket{le}|le"},
		{`time() - a_seconds offset 5m`, "a_seconds{}|"},
		{`a and on (x) b unless ignoring(y) c * 1e3`, "a{}|x,y b{}|x,y c{}|x,y"},
		{`count_values("v", a:b)`, "a:b{}|"},
	} {
		var got []string
		for _, s := range selectors(tt.expr) {
			var labels []string
			for _, m := range s.matchers {
				labels = append(labels, m.label)
			}
			got = append(got, s.metric+"{"+strings.Join(labels, ",")+"}|"+strings.Join(s.by, ","))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.expr, strings.Join(got, " "), tt.want)
		}
	}
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func newShadow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "shadow [RULE]",
		Short: "Show what rules in shadow would have refused",
		Long: `shadow shows, for each rule in shadow and each method, how many calls it has decided on, how many of these it would have
refused or ended if it were enforced, and from which callers they came. Shares are of all calls decided. A rule that is enforced
for a share of the callers (enforceShare) is shown too, with the calls that it has refused. For retry, hedge and
outlierDetection it shows what they would have done.

A rule counts from the revision that added or changed it; edits of other rules do not reset its counts. The host counts callers
in bounded memory: if there are very many, those with few calls are among the others.`,
		Example: `  easymicro shadow
  easymicro shadow partner-quota
  easymicro shadow -o json | jq '.rules[] | select(.share > 0.01).rule'`,
		Args:              argRange(0, 1, "at most one argument: a rule in shadow"),
		ValidArgsFunction: firstArgument(a, shadowWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := newHostClient(a)
			if err != nil {
				return err
			}
			s, err := host.Shadow(cmd.Context())
			if err != nil {
				return host.failed(err)
			}
			if len(args) > 0 {
				if err := onlyRule(s, args[0]); err != nil {
					return err
				}
			}
			return a.print(s, func() { shadowText(&a.printer, s) })
		},
	}
}

// onlyRule leaves the rows of one rule.
func onlyRule(s *admin.Shadow, rule string) error {
	var known []string
	for i := range s.Rules {
		known = append(known, s.Rules[i].Rule)
	}
	if !slices.Contains(known, rule) {
		err := fmt.Errorf("no rule in shadow is named %q%s", rule, didYouMean(rule, known))
		return &exitError{code: ExitAnswered, err: err}
	}
	s.Rules = slices.DeleteFunc(s.Rules, func(r admin.ShadowRule) bool { return r.Rule != rule })
	return nil
}

func shadowText(p *printer, s *admin.Shadow) {
	if len(s.Rules) == 0 {
		p.line("no rule in force has mode: shadow or enforceShare")
		return
	}
	rows := [][]string{{"RULE", "KIND", "MODE", "METHOD", "CALLS", "REFUSED", "WOULD REFUSE", "SHARE", "CALLER", "SINCE"}}
	for i := range s.Rules {
		r := &s.Rules[i]
		mode, refused, method := string(r.Mode), "", strings.Replace(r.Method, "/", ".", 1)
		if r.EnforceShare != "" {
			mode, refused = r.EnforceShare+" enforced", fmt.Sprint(r.Refused)
		}
		rows = append(rows, []string{
			r.Rule, string(r.Kind), mode, orDash(method), fmt.Sprint(r.Calls), orDash(refused), p.paint(wouldRefuse(r), fmt.Sprint(r.WouldRefuse)),
			shareText(r.Share), "all", fmt.Sprintf("r%d, %s", r.Revision, ago(r.Since)),
		})
		caller := func(name string, calls uint64) {
			share := shareText(float64(calls) / float64(r.Calls))
			rows = append(rows, []string{"", "", "", "", "", orDash(""), fmt.Sprint(calls), share, name, ""})
		}
		for _, c := range r.Callers {
			caller(c.Caller, c.WouldRefuse)
		}
		if len(r.Callers) > 0 && r.Others > 0 {
			caller("others", r.Others)
		}
	}
	p.titled(withoutEmpty(rows, "REFUSED"))
	if s.More > 0 {
		p.line("and %d more", s.More)
	}
}

func wouldRefuse(r *admin.ShadowRule) paint {
	if r.WouldRefuse > 0 {
		return yellow
	}
	return plain
}

func shareText(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func shadowWords(ctx context.Context, c *admin.Client, _ string) (words []string) {
	s, err := c.Shadow(ctx)
	if err != nil {
		return nil
	}
	for i := range s.Rules {
		if word := s.Rules[i].Rule + "\t" + s.Rules[i].Position; !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

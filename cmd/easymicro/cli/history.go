package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// historyCommand lists the attempts to change the configuration of a running host.
type historyCommand struct{ *app }

func newHistory(a *app) *cobra.Command {
	c := &historyCommand{app: a}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the changes of the configuration of a running host, newest first",
		Long: `history lists the attempts to change the configuration of a running host: when, from where and by whom, with which result,
and what changed. The verdict is kept once a revision was in force for a while without a death of the process.
Commands that were rejected are attempts too, even those whose files cannot be read: they take half of the history at most, and
equal ones in a row are one line.

With host.state in the manifest the history outlives the process, and "history show" has the files as they were.`,
		Example: `  easymicro history
  easymicro history show 42
  easymicro history -o json | jq '.[0].changes'`,
		Args: onlyShow,
		RunE: c.run,
	}
	show := newHistoryShow(a)
	cmd.AddGroup(&cobra.Group{ID: "history", Title: "Commands"})
	show.GroupID = "history"
	cmd.AddCommand(show)
	return cmd
}

// onlyShow rejects arguments of history that name no subcommand.
func onlyShow(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("history has no command %q: easymicro history lists the revisions, easymicro history show REVISION shows one", args[0])
}

func (c *historyCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	list, err := host.Revisions(cmd.Context())
	if err != nil {
		return host.failed(err)
	}
	return c.print(list, func() { historyText(&c.printer, list) })
}

func historyText(p *printer, list []admin.Attempt) {
	rows := [][]string{{"REVISION", "TIME", "SOURCE", "WHO", "RESULT", "VERDICT", "HASH", "WHAT"}}
	for i := range list {
		r := &list[i]
		revision := fmt.Sprintf("r%d", r.Number)
		if r.Result == admin.ResultRejected {
			revision = "-" // it made none
		}
		rows = append(rows, []string{
			revision, when(r.At), r.Source, orDash(r.Who), resultText(p, r), orDash(r.Verdict), orDash(short(r.Hash)), whatText(r),
		})
	}
	p.titled(withoutEmpty(rows, "WHO", "VERDICT"))
}

func resultText(p *printer, r *admin.Attempt) string {
	if r.Result == admin.ResultApplied {
		return p.paint(green, r.Result)
	}
	if r.Times > 1 {
		return p.paint(red, fmt.Sprintf("%s %d times", r.Result, r.Times))
	}
	return p.paint(red, r.Result)
}

// whatText describes an attempt in one line: the reason for it, and its changes or its error.
func whatText(r *admin.Attempt) string {
	const shown = 2
	var words []string
	if r.Why != "" {
		words = append(words, strconv.Quote(r.Why))
	}
	problems := r.Problems.Errors()
	switch {
	case r.Error != "":
		words = append(words, r.Error)
	case len(problems) == 1:
		words = append(words, problems[0].String())
	case len(problems) > 1:
		words = append(words, fmt.Sprintf("%s (and %d more)", problems[0], len(problems)-1))
	case r.Forecast != nil && r.Forecast.NewlyRefused > 0:
		words = append(words, few(r.Changes.Lines(), shown)+"; "+r.Forecast.Short())
	case len(r.Changes) > 0:
		words = append(words, few(r.Changes.Lines(), shown))
	}
	return orDash(strings.Join(words, " "))
}

// historyShowCommand shows one revision.
type historyShowCommand struct {
	*app
	files bool
}

func newHistoryShow(a *app) *cobra.Command {
	c := &historyShowCommand{app: a}
	cmd := &cobra.Command{
		Use:   "show REVISION",
		Short: "Show a revision: what it changed, its forecast, its warnings and its files",
		Long: `show shows a revision of a running host: where it came from, what it changed, which of the calls before it would have
refused, its warnings, and the files that it was made of. With --files it prints the texts of the files; those of earlier
processes need host.state in the manifest.`,
		Example: `  easymicro history show 42
  easymicro history show r42 --files`,
		Args:              argRange(1, 1, "one argument: the number of a revision, such as 42 or r42"),
		ValidArgsFunction: firstArgument(a, revisionWords),
		RunE:              c.run,
	}
	cmd.Flags().BoolVar(&c.files, "files", false, "print the texts of the files of the revision, without the hashes of tokens")
	return cmd
}

// revisionWords returns the revisions that a host knows.
func revisionWords(ctx context.Context, c *admin.Client, _ string) []string {
	list, err := c.Revisions(ctx)
	if err != nil {
		return nil
	}
	var words []string
	for i := range list {
		if word := fmt.Sprintf("r%d", list[i].Number); list[i].MadeRevision() && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// shownRevision is the JSON of a revision with the texts of its files.
type shownRevision struct {
	*admin.Attempt
	Files []admin.FileText `json:"files"`
}

func (c *historyShowCommand) run(cmd *cobra.Command, args []string) error {
	number, err := revisionArg(args[0])
	if err != nil {
		return err
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	r, err := host.Revision(cmd.Context(), number)
	if err != nil {
		return host.failed(err)
	}
	if !c.files {
		return c.print(r, func() { revisionText(&c.printer, r) })
	}
	files, err := host.RevisionFiles(cmd.Context(), number)
	if err != nil {
		return host.failed(err)
	}
	return c.print(shownRevision{r, files}, func() { filesText(&c.printer, files) })
}

func revisionText(p *printer, r *admin.Attempt) {
	rows := [][]string{
		{p.paint(bold, fmt.Sprintf("r%d", r.Number)), resultText(p, r)},
		{"time", r.At.Local().Format("2006-01-02 15:04:05") + ", " + ago(r.At)},
		{"source", r.Source},
	}
	for _, row := range [][]string{{"who", r.Who}, {"why", r.Why}, {"verdict", r.Verdict}, {"pinned to", r.Pinned}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if !r.RevertAt.IsZero() {
		rows = append(rows, []string{"reverts", "at " + r.RevertAt.Local().Format(time.TimeOnly) + " unless confirmed"})
	}
	rows = append(rows, []string{"hash", r.Hash}, []string{"rules", fmt.Sprint(r.Rules)}, []string{"took", time.Duration(r.Took).Round(time.Millisecond).String()})
	for _, f := range r.Files {
		rows = append(rows, []string{"file", f.Path + "   " + short(f.Hash)})
	}
	p.table(rows)
	for _, line := range r.Changes.Lines() {
		p.line("  %s", line)
	}
	forecastText(p, r.Forecast)
	for _, w := range r.Warnings {
		p.line("%s", warningText(p, w))
	}
}

// filesText prints files one after the other, each below its path.
func filesText(p *printer, files []admin.FileText) {
	for i, f := range files {
		if i > 0 {
			p.line("")
		}
		p.line("%s", p.paint(bold, "# "+f.Path))
		p.line("%s", strings.TrimSuffix(f.Text, "\n"))
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host/admin"
)

// applyCommand puts policy files in force without writing them.
type applyCommand struct {
	applying
	prune, allowWider bool
}

func newApply(a *app) *cobra.Command {
	c := &applyCommand{applying: applying{app: a}}
	cmd := &cobra.Command{
		Use:   "apply FILES…|PLAN",
		Short: "Put policy files in force on a running host, without writing them",
		Long: `apply sends policy files to the running host, which replaces its policy files of the same name by them and takes new names as
new files; nothing is removed without --prune. It shows what changes, asks on a terminal, and applies all of it or nothing.
Variables (${NAME}) have the values of the host; the files may use those alone that its policy files use already.

The host writes no files: what was applied stays in force, over restarts too if the manifest has host.state, until its own files
change or easymicro reload --force. A plan made by "easymicro diff FILES --out p.plan" is applied only if the host still runs
what the plan was made for.

It also shows the forecast: which of the calls of the last five minutes the edit would have refused or timed out. An edit whose
forecast exceeds policies.autoRollback.maxNewRefusals, for all calls or those of one method, is applied only if the question is
answered at a terminal, which --yes does not do, or with --force; otherwise apply exits with 1. Either way the edit is observed,
and rolled back if it refuses that many.

It exits with 3 if the files have problems, and with 5 if the plan is stale or, with --wait, if the host has rolled the edit
back.`,
		Example: `  easymicro apply policies.d/10-orders.yaml -m "ticket 4711"
  easymicro apply policies.d/*.yaml --prune --dry-run
  easymicro apply limits.yaml --yes --force
  easymicro apply limits.yaml --yes --revert-after 2m && easymicro confirm
  easymicro apply p.plan --yes --wait`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("apply needs policy files, or a plan made by easymicro diff FILES --out PLAN\nsee: easymicro apply --help")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "plan"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: c.run,
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&c.prune, "prune", false, "take the other policy files of the host out of force")
	cmd.Flags().BoolVar(&c.allowWider, "allow-wider", false, "accept that more callers may call more methods, under policies.widening: refuse")
	return cmd
}

func (c *applyCommand) run(cmd *cobra.Command, args []string) error {
	if err := c.check(cmd); err != nil {
		return err
	}
	q, err := c.request(args)
	if err != nil {
		return err
	}
	_, err = c.put(cmd.Context(), q)
	return err
}

// request returns the request for the arguments: policy files, or a plan.
func (c *applyCommand) request(args []string) (*admin.ApplyRequest, error) {
	q := &admin.ApplyRequest{Prune: c.prune, AllowWider: c.allowWider}
	if len(args) == 1 {
		p, err := readPlan(args[0])
		switch {
		case err != nil:
			return nil, err
		case p != nil && c.prune && !p.Prune:
			return nil, usageError("--prune: %s was made without it: make the plan again", args[0])
		case p != nil:
			q.Files, q.Prune, q.IfMatch = p.Files, p.Prune, p.Hash
			return q, nil
		}
	}
	var err error
	q.Files, err = readPolicies(args)
	return q, err
}

// readPolicies reads files to apply. Those that cannot be read are problems, as for validate.
func readPolicies(paths []string) ([]admin.ApplyFile, error) {
	var list []admin.ApplyFile
	var problems config.Problems
	for _, path := range paths {
		data, err := readFile(path, config.MaxFileBytes)
		if err != nil {
			problems = append(problems, unreadable(path, err))
		}
		list = append(list, admin.ApplyFile{Path: path, Text: string(data)})
	}
	if len(problems) > 0 {
		return nil, &exitError{ExitProblems, errors.New(count(len(problems), "problem")), problems}
	}
	return list, nil
}

// unreadable returns the problem of a file that cannot be read.
func unreadable(file string, err error) config.Problem {
	return config.Problem{File: file, Message: files.Reason(err), Code: lint.Unreadable}
}

// planVersion is the version of the format of plans.
const planVersion = 1

// maxPlanBytes bounds a plan file.
const maxPlanBytes = admin.MaxRequestBytes

// plan is the content of a file that easymicro diff --out writes: policy files, and what was running when they were compared.
type plan struct {
	Version  int               `json:"plan_version"`
	Hash     string            `json:"hash"` // of what was running
	Revision int               `json:"revision"`
	Files    []admin.ApplyFile `json:"files"`
	Prune    bool              `json:"prune"`
	Changes  admin.Changes     `json:"changes"`
	Forecast *admin.Forecast   `json:"forecast,omitempty"`
}

// readPlan reads a plan. It returns nil if the file is a policy file.
func readPlan(path string) (*plan, error) {
	data, err := readFile(path, maxPlanBytes)
	if err != nil {
		return nil, &exitError{ExitProblems, errors.New("1 problem"), config.Problems{unreadable(path, err)}}
	}
	named := strings.HasSuffix(path, ".plan")
	if !named && !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil, nil //nolint:nilnil // it is a policy file
	}
	var p plan
	err = json.Unmarshal(data, &p)
	switch {
	case err == nil && p.Version == planVersion && p.Hash != "" && len(p.Files) > 0:
		return &p, nil
	case err == nil && p.Version > planVersion:
		return nil, failed("%s was made by a newer easymicro (plan_version %d)", path, p.Version)
	case named:
		return nil, failed("%s is not a plan: make one with easymicro diff FILES --out %[1]s", path)
	}
	return nil, nil //nolint:nilnil // it is a policy file in JSON
}

// write writes the plan to a file.
func (p *plan) write(path string) error {
	var text bytes.Buffer
	if err := writeJSON(&text, p, "  "); err != nil {
		return err
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return failed("--out: %w", err)
	}
	return nil
}

// difference shows what an edit changes.
type difference struct {
	*printer
	*admin.Difference
}

// rejected returns the error of an edit that the host would reject; nil if it would not.
func (d *difference) rejected() error {
	errs := d.Problems.Errors()
	if len(errs) == 0 {
		return nil
	}
	return &exitError{code: ExitProblems, err: errors.New("the host would reject this: " + count(len(errs), "problem"))}
}

func (d *difference) text() {
	if len(d.Changes) == 0 {
		d.line("no difference: r%d runs what the files say", d.Revision)
	}
	colors := map[config.Effect]paint{config.Wider: yellow, config.Tighter: green}
	for i, line := range d.Changes.Signed() {
		d.line("%s", d.paint(colors[d.Changes[i].Effect], line))
	}
	forecastText(d.printer, d.Forecast)
	for _, p := range d.Problems {
		if p.Warning {
			d.line("%s", warningText(d.printer, p))
		} else {
			d.line("%s %s", d.paint(red, "rejected:"), p)
		}
	}
	for _, w := range d.Warnings {
		d.line("%s", warningText(d.printer, w))
	}
}

// forecastText shows what an edit would have done to the last calls.
func forecastText(p *printer, f *admin.Forecast) {
	for _, line := range f.Lines() {
		p.line("%s %s", p.paint(bold, "forecast:"), line)
	}
	if f != nil && f.Exceeds != "" {
		p.line("%s %s", p.paint(red, "forecast:"), f.Exceeds)
	}
}

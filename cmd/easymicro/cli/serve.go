package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/handover"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/systemd"
	"github.com/easymicro/easymicro/host/telemetry"
)

// serveCommand runs the host of a manifest.
type serveCommand struct{ hosting }

func newServe(a *app) *cobra.Command {
	c := &serveCommand{hosting{app: a}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the host of a manifest",
		Long: `serve runs the host of a manifest until SIGTERM or SIGINT, which drain it; a second signal ends it at once. Changed files are
reloaded automatically; SIGHUP reloads them too. SIGUSR2 starts the program at the same path again, which may be a new version,
and hands the listeners over to it: no connection is refused meanwhile. If the new process is not ready within 30 s, or ends
within 2 s after that, this one serves on, and logs why.

On a terminal, a screen on stdout shows what runs and the result of each edit; the log goes to stderr and, if both go to the
same place, omits what the screen shows. Elsewhere there is only the log, so that a journal has each edit once; --screen on
shows the screen there too. With -o json the screen is one JSON object per line, wherever stdout goes.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  EASYMICRO_LISTEN=:8972 easymicro serve --log-format json`,
		Args: noArgs,
		RunE: c.run,
	}
	c.addFlags(cmd, nil, true)
	return cmd
}

func (c *serveCommand) run(cmd *cobra.Command, _ []string) error {
	return wrongFlags(c.serve(cmd, load.Options{Flags: cmd.Flags()}))
}

// Modes of the screen.
const (
	screenAuto = "auto" // on a terminal, and for programs
	screenOn   = "on"
	screenOff  = "off"
)

// hosting is shared by the commands that run a host.
type hosting struct{ *app }

// addFlags adds the flags of a host with their defaults; overManifest is set if they override values of a manifest.
func (h *hosting) addFlags(cmd *cobra.Command, defaults map[string]string, overManifest bool) {
	for _, f := range []struct {
		name, usage, field string
		complete           completer
	}{
		{"listen", "`ADDRESS` of the first listener", "listeners[0].address", cobra.NoFileCompletions},
		{"name", "`NAME` of the host", "host.name", cobra.NoFileCompletions},
		{"log-level", "log `LEVEL`: debug, info, warn or error", "telemetry.logs.level", fixed("debug", "info", "warn", "error")},
		{"log-format", "log `FORMAT`: auto, text or json", "telemetry.logs.format", fixed("auto", "text", "json")},
		{"admin-listen", "`ADDRESS` of the admin listener; '' for none", "admin.address", cobra.NoFileCompletions},
	} {
		usage := f.usage
		if overManifest {
			usage += "; overrides " + f.field
		}
		cmd.Flags().String(f.name, defaults[f.name], usage+" ("+load.Variable(f.name)+")")
		_ = cmd.RegisterFlagCompletionFunc(f.name, f.complete)
	}
	cmd.Flags().String("screen", screenAuto, "`MODE` of the screen: auto (on a terminal), on or off ("+load.Variable("screen")+")")
	_ = cmd.RegisterFlagCompletionFunc("screen", fixed(screenAuto, screenOn, screenOff))
}

// serve runs a host until a signal ends it. Notes are logged first.
func (h *hosting) serve(cmd *cobra.Command, from load.Options, notes ...string) error {
	before, err := handover.Receive()
	if err != nil {
		return err
	}
	manager := systemd.New()
	for _, s := range before.Claim("systemd") {
		manager.Add(s.Address, s.File)
	}
	if err = h.run(cmd, from, host.Options{Predecessor: before, Systemd: manager}, notes); err != nil {
		before.Failed(plainText(err))
	}
	return err
}

// run runs a host with the options, which it completes.
func (h *hosting) run(cmd *cobra.Command, from load.Options, o host.Options, notes []string) error {
	program, err := handover.Self()
	if err != nil {
		return err
	}
	shown, err := h.showsScreen(cmd)
	if err != nil {
		return err
	}
	signals := newSignals()
	defer signals.stop()
	ctx, cancel := signals.drain(cmd.Context())
	defer cancel()
	if err := notDirectory(h.manifest); err != nil {
		return err
	}
	set, files, err := host.LoadFiles(h.manifest, from)
	if errors.Is(err, fs.ErrNotExist) {
		return noManifest(h.app, err)
	}
	if err != nil {
		return loadError(h.manifest, err)
	}
	logs := set.Manifest.Telemetry.Logs
	log, control, err := telemetry.NewLogger(h.err, telemetry.LogOptions{
		Level: logs.Level, Format: logs.Format, Terminal: terminal(h.err), NoColor: h.noColor,
	})
	if err != nil {
		return err
	}
	screen := &screen{printer: &h.printer, manifest: h.manifest, set: set, warnings: true}
	if shown && h.format != formatJSON && sameOutput(h.out, h.err) {
		screen.warnings = !log.Enabled(ctx, slog.LevelWarn)
		log = slog.New(sharedLog{log.Handler()})
	}
	for _, note := range notes {
		log.Warn(note)
	}
	o.Registry, o.Logger, o.Log, o.Heap, o.Source, o.Version = h.registry, log, control, new(machine.Heap), files, version()
	show := func(h *host.Host) { screen.logged(h, log) }
	if shown {
		show, o.OnAttempt = screen.ready, screen.revision
	}
	stopManager := o.Systemd.Follow(ctx, log)
	defer stopManager()
	o.OnReady = func(h *host.Host) {
		show(h)
		o.Systemd.Ready()
	}
	running, err := host.Open(ctx, set, o)
	if err != nil {
		return loadError(h.manifest, err)
	}
	abandon := func() { log.Warn("ended at once by a second signal", "abandoned_calls", running.InFlight()) }
	signals.atOnce.Store(&abandon)
	stop := signals.follow(ctx, running, o.Systemd, program)
	defer stop()
	if err := running.Run(ctx); err != nil {
		return loadError(h.manifest, suggestFlags(err))
	}
	return nil
}

// showsScreen reports whether stdout gets the screen: by the flag, else the variable, else by what stdout is. The flag -o json
// requests it for a program; its variable may be meant for other commands.
func (h *hosting) showsScreen(cmd *cobra.Command) (bool, error) {
	f := cmd.Flags().Lookup("screen")
	mode, from := f.Value.String(), "--screen"
	if value := os.Getenv(load.Variable("screen")); value != "" && !f.Changed {
		mode, from = value, load.Variable("screen")
	}
	switch mode {
	case screenOn:
		return true, nil
	case screenOff:
		return false, nil
	case screenAuto:
		return terminal(h.out) || h.format == formatJSON && cmd.Flags().Changed("output"), nil
	}
	modes := []string{screenAuto, screenOn, screenOff}
	return false, usageError("%s: %q is not one of %s%s", from, mode, strings.Join(modes, ", "), didYouMean(mode, modes))
}

// sameOutput reports whether two streams are the same file, as on a terminal or with 2>&1.
func sameOutput(a, b any) bool {
	if terminal(a) && terminal(b) {
		return true
	}
	one, ok := a.(*os.File)
	other, both := b.(*os.File)
	if !ok || !both {
		return false
	}
	x, err := one.Stat()
	if err != nil {
		return false
	}
	y, err := other.Stat()
	return err == nil && os.SameFile(x, y)
}

// onScreen lists the log messages that the screen shows in its own words.
var onScreen = []string{host.LogApplied, host.LogReloaded, host.LogRejected, host.LogUnchanged, host.LogListening}

// sharedLog drops messages that the screen already shows on the same output. Warnings about files read alike on both and
// are left to the log.
type sharedLog struct{ slog.Handler }

func (l sharedLog) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(onScreen, r.Message) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l sharedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sharedLog{l.Handler.WithAttrs(attrs)}
}

func (l sharedLog) WithGroup(name string) slog.Handler { return sharedLog{l.Handler.WithGroup(name)} }

// suggestFlags adds, to problems with listen addresses, the flags that change them.
func suggestFlags(err error) error {
	flags := map[string]string{"admin.address": "--admin-listen", "listeners[0].address": "--listen"}
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	problems = slices.Clone(problems)
	for i := range problems {
		p := &problems[i]
		if flag := flags[p.Path]; flag != "" && strings.HasPrefix(p.Message, "cannot listen: ") {
			p.Message += " (choose another address with " + flag + ")"
		}
	}
	return problems
}

// wrongFlags turns an error that is only about flag values into a usage error. An address in use or a missing file does not
// make a flag wrong.
func wrongFlags(err error) error {
	exit, ok := errors.AsType[*exitError](err)
	if !ok || len(exit.problems) == 0 {
		return err
	}
	outside := []string{"cannot listen: ", "cannot be read", "matches no file"}
	wrong := func(p config.Problem) bool {
		return strings.HasPrefix(p.File, "--") && !slices.ContainsFunc(outside, func(of string) bool { return strings.Contains(p.Message, of) })
	}
	if slices.ContainsFunc(exit.problems.Errors(), func(p config.Problem) bool { return !wrong(p) }) {
		return err
	}
	return &exitError{code: ExitUsage, err: fmt.Errorf("invalid flags: %s", count(len(exit.problems.Errors()), "problem")), problems: exit.problems}
}

package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/telemetry"
)

func (a *app) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the manifest",
		Long: `serve runs the manifest until SIGTERM or SIGINT, which drain it; a second one ends it at once. It follows the files, and
SIGHUP makes it read them again.

On a terminal, a screen on stdout shows what runs and what became of each edit; the log goes to stderr and, where both go to
the same place, leaves out what the screen shows. Elsewhere there is only the log, so that a journal has each edit once;
--screen on shows the screen there too. With -o json the screen is one JSON object a line, wherever it goes.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  EASYMICRO_LISTEN=:8972 easymicro serve --log-format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return wrongFlags(a.runHost(cmd, a.manifest, load.Options{Flags: cmd.Flags()}))
		},
	}
	flags := cmd.Flags()
	flags.String("listen", "", "`ADDRESS` of the first listener, over the manifest (EASYMICRO_LISTEN)")
	flags.String("name", "", "`NAME` of the host, over the manifest (EASYMICRO_NAME)")
	flags.String("log-level", "", "debug, info, warn or error: `LEVEL` over the manifest (EASYMICRO_LOG_LEVEL)")
	flags.String("log-format", "", "auto, text or json: `FORMAT` over the manifest (EASYMICRO_LOG_FORMAT)")
	flags.String("admin-listen", "", "`ADDRESS` of the admin listener, over the manifest (EASYMICRO_ADMIN_LISTEN)")
	a.screenFlag(cmd)
	completeHosting(cmd)
	return cmd
}

// completeHosting completes what the flags of a host take.
func completeHosting(cmd *cobra.Command) {
	for name, complete := range map[string]completer{
		"listen": cobra.NoFileCompletions, "name": cobra.NoFileCompletions, "admin-listen": cobra.NoFileCompletions,
		"log-level": fixed("debug", "info", "warn", "error"), "log-format": fixed("auto", "text", "json"),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, complete)
	}
}

// runHost runs the host of a manifest until a signal ends it. Notes go to the log first.
func (a *app) runHost(cmd *cobra.Command, manifest string, from load.Options, notes ...string) error {
	shown, err := a.screenShown(cmd)
	if err != nil {
		return err
	}
	signals := newSignals()
	defer signals.stop()
	ctx, cancel := signals.drain(cmd.Context())
	defer cancel()
	set, files, err := host.LoadFiles(manifest, from)
	if errors.Is(err, fs.ErrNotExist) {
		return a.noManifest(err)
	}
	if err != nil {
		return a.loadError(err)
	}
	logs := set.Manifest.Telemetry.Logs
	log, control, err := telemetry.NewLogger(a.io.Err, telemetry.LogOptions{
		Level: logs.Level, Format: logs.Format, Terminal: terminal(a.io.Err), NoColor: a.noColor,
	})
	if err != nil {
		return err
	}
	screen := &screen{app: a, set: set, warnings: true}
	if shown && a.output != outputJSON && oneOutput(a.io.Out, a.io.Err) {
		log = shareOutput(log, screen)
	}
	for _, note := range notes {
		log.Warn(note)
	}
	o := host.Options{
		Registry: a.registry, Logger: log, Log: control, Source: files, Version: version(),
		OnReady: func(h *host.Host) { screen.logged(h, log) },
	}
	if shown {
		o.OnReady, o.OnRevision = screen.ready, screen.revision
	}
	h, err := host.Open(ctx, set, o)
	if err != nil {
		return a.loadError(err)
	}
	tell := func() { tellAtOnce(h, log) }
	signals.atOnce.Store(&tell)
	stop := signals.reload(ctx, h)
	defer stop()
	if err := h.Run(ctx); err != nil {
		return a.loadError(whichFlag(err))
	}
	return nil
}

// Where the screen is shown.
const (
	screenAuto = "auto" // on a terminal, and where programs read it
	screenOn   = "on"
	screenOff  = "off"
)

func (a *app) screenFlag(cmd *cobra.Command) {
	cmd.Flags().String("screen", screenAuto, "auto (on a terminal), on or off: `WHEN` the screen is shown ("+load.Variable("screen")+")")
	_ = cmd.RegisterFlagCompletionFunc("screen", fixed(screenAuto, screenOn, screenOff))
}

// screenShown reports whether stdout gets the screen: by the flag, else the variable, else where stdout leads. -o json
// is of a program, which reads it from wherever that is; its variable may be there for other commands.
func (a *app) screenShown(cmd *cobra.Command) (bool, error) {
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
		return terminal(a.io.Out) || a.output == outputJSON && cmd.Flags().Changed("output"), nil
	}
	modes := []string{screenAuto, screenOn, screenOff}
	return false, usageError("%s: %q is not one of %s%s", from, mode, strings.Join(modes, ", "), didYouMean(mode, modes))
}

// onScreen are the lines of the host's log that the screen shows in its own words.
var onScreen = []string{
	"set applied", "reload applied", "reload rejected, the running set stays", "reload found nothing changed", "listening",
}

// oneOutput reports whether two streams end in one place, as both do on a terminal and with 2>&1.
func oneOutput(a, b any) bool {
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

// sharedLog leaves out what the screen shows in the same place. Warnings of the files have no words of their own in the
// log, so that the screen leaves these to it.
type sharedLog struct{ slog.Handler }

func shareOutput(log *slog.Logger, s *screen) *slog.Logger {
	s.warnings = !log.Enabled(context.Background(), slog.LevelWarn)
	return slog.New(sharedLog{log.Handler()})
}

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

// lastQuestion is how long a process that was told to end at once takes to find out what it abandons.
const lastQuestion = 200 * time.Millisecond

// tellAtOnce says in the log that the host ends without its drain, and how many calls it abandons if that can be known.
func tellAtOnce(h *host.Host, log *slog.Logger) {
	const message = "ended at once by a second signal"
	if n, ok := callsInFlight(h); ok {
		log.Warn(message, "abandoned_calls", n)
		return
	}
	log.Warn(message)
}

// callsInFlight asks the host's admin listener, which serves until the last call has ended.
func callsInFlight(h *host.Host) (n int, ok bool) {
	token, err := host.AdminToken(h.Set())
	if err != nil || h.AdminURL() == "" {
		return 0, false
	}
	c := &admin.Client{Address: h.AdminURL(), Token: token}
	ctx, cancel := context.WithTimeout(context.Background(), lastQuestion)
	defer cancel()
	status, err := c.Status(ctx)
	if err != nil {
		return 0, false
	}
	for i := range status.Services {
		n += status.Services[i].InFlight
	}
	return n, true
}

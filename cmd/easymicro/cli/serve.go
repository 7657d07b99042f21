package cli

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
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

package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/telemetry"
)

func (a *app) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the manifest",
		Long: `serve runs the manifest until SIGTERM or SIGINT, which drain; a second one ends at once. SIGHUP reads the files again,
as saving them does.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  EASYMICRO_LISTEN=:8972 easymicro serve --log-format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServe(cmd) },
	}
	flags := cmd.Flags()
	flags.String("listen", "", "address of the first listener, over the manifest")
	flags.String("name", "", "name of the host, over the manifest")
	flags.String("log-level", "", "debug, info, warn or error, over the manifest")
	flags.String("log-format", "", "auto, text or json, over the manifest")
	flags.String("admin-listen", "", "address of the admin listener, over the manifest; off for none")
	return cmd
}

func (a *app) runServe(cmd *cobra.Command) error {
	set, files, err := host.LoadFiles(a.manifest, load.Options{Flags: cmd.Flags()})
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
	screen := &screen{out: a.io.Out, set: set, manifest: a.manifest}
	h, err := host.Open(cmd.Context(), set, host.Options{
		Registry: a.registry, Logger: log, Log: control, Source: files, Version: version(),
		OnReady: screen.ready, OnRevision: screen.revision,
	})
	if err != nil {
		return a.loadError(err)
	}
	ctx, stop := a.signals(cmd.Context(), h)
	defer stop()
	if err := h.Run(ctx); err != nil {
		return a.loadError(err)
	}
	return nil
}

// signals ends the context at the first SIGTERM or SIGINT, and the process at the second. SIGHUP reloads.
func (a *app) signals(parent context.Context, h *host.Host) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	got := make(chan os.Signal, 4)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		ended := parent.Done()
		for draining := false; ; {
			select {
			case <-done:
				return
			case <-ended: // whoever called Run
				ended, draining = nil, true
				cancel()
			case s := <-got:
				switch {
				case s == syscall.SIGHUP:
					_, _ = h.Reload(ctx, host.SourceSignal, "SIGHUP") // told on the screen and in the log
				case draining:
					fmt.Fprintln(a.io.Err, "easymicro: ended by a second signal, calls in flight are lost")
					os.Exit(ExitFailed)
				default:
					draining = true
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		close(done)
		cancel()
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples/overload" // overload.shop
)

const manifest = `listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
policies: {files: [policies.yaml]}
services: [{name: Shop, handler: overload.shop, options: {computes: 1ms, connections: 8, takes: 4ms}}]
`

// serve runs a host with a rule until in ends. It prints the address.
func serve(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("serve needs a rule")
	}
	if err := confine(0); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "easymicro-overload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "easymicro.yaml")
	for file, text := range map[string]string{path: manifest, filepath.Join(dir, "policies.yaml"): args[0]} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	set, files, err := host.LoadFiles(path, load.Options{})
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h, err := host.Open(ctx, set, host.Options{
		Registry: registry.Default(), Source: files, Logger: logger, Heap: new(machine.Heap),
		OnReady: func(h *host.Host) { fmt.Fprintln(out, h.Addr("main")) },
	})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		stop()
	}()
	return h.Run(ctx)
}

// Command packaging makes the files of a release: binaries for all platforms, deb and rpm packages, an OCI image, and their
// checksums. `make dist` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/easymicro/easymicro/samples" // the handlers of cmd/easymicro, for its completions
)

func main() {
	root := filepath.Join("..", "..", "..")
	version := flag.String("version", "", "`VERSION` of the release, as v1.2.3 (default: git describe)")
	out := flag.String("out", filepath.Join(root, "dist"), "`DIR` for the files; it must be empty or missing")
	ca := flag.String("ca-file", "", "`FILE` with CA certificates for the image (PEM); without it, the image has none")
	flag.Parse()
	if err := dist(context.Background(), root, *version, *out, *ca); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func dist(ctx context.Context, root, version, out, ca string) error {
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: remove it, so that the checksums are of this release only", out)
	}
	if version == "" {
		described, err := git(ctx, root, "describe", "--tags", "--always", "--dirty")
		if err != nil {
			return fmt.Errorf("no -version, and git does not tell one: %w", err)
		}
		version = described
	}
	committed, err := commitTime(ctx, root)
	if err != nil {
		return err
	}
	r := release{root: root, out: out, version: version, time: committed, caFile: ca, flags: []string{"-trimpath", "-buildvcs=auto"}}
	return r.make(ctx, platforms)
}

// commitTime is the time in all files, so that two builds of a commit are equal: SOURCE_DATE_EPOCH, or that of the commit.
func commitTime(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = git(ctx, root, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("no SOURCE_DATE_EPOCH, and git does not tell the time of the commit: %w", err)
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // arguments are written above
	cmd.Dir = dir
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

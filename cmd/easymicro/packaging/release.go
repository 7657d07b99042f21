package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const module = "github.com/easymicro/easymicro"

// platform is a system and an architecture, in the words of Go.
type platform struct{ os, arch string }

var platforms = []platform{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// release makes its files in out, from the source in root.
type release struct {
	root, out, version string
	time               time.Time // of all files in packages and images
	caFile             string
	flags              []string // of go build
}

// make makes all files for the platforms, and SHA256SUMS last.
func (r *release) make(ctx context.Context, targets []platform) error {
	if err := os.MkdirAll(r.out, 0o755); err != nil { //nolint:gosec // for everyone to read
		return err
	}
	var linux []binary
	for _, p := range targets {
		path, err := r.build(ctx, p)
		if err != nil {
			return err
		}
		if p.os == "linux" {
			linux = append(linux, binary{p.arch, path})
		}
	}
	for _, b := range linux {
		if err := r.packages(b); err != nil {
			return err
		}
	}
	if len(linux) > 0 {
		if err := r.image(linux); err != nil {
			return err
		}
	}
	return r.sums()
}

// binary is a program for Linux.
type binary struct{ arch, path string }

// build builds the static binary of a platform and returns its path.
func (r *release) build(ctx context.Context, p platform) (string, error) {
	name := fmt.Sprintf("easymicro_%s_%s_%s", r.version, p.os, p.arch)
	if p.os == "windows" {
		name += ".exe"
	}
	path, err := filepath.Abs(filepath.Join(r.out, name))
	if err != nil {
		return "", err
	}
	linker := "-s -w -X " + module + "/cmd/easymicro/cli.release=" + r.version
	args := append([]string{"build", "-ldflags", linker, "-o", path}, r.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/easymicro")...) //nolint:gosec // the version is that of the release
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s for %s/%s: %w\n%s", strings.Join(cmd.Args[1:], " "), p.os, p.arch, err, out)
	}
	return path, nil
}

// sums writes the checksums, in the form of sha256sum.
func (r *release) sums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range entries {
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(lines.String()), 0o644) //nolint:gosec // for everyone to read
}

func sumOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

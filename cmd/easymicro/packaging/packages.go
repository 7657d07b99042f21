package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format deb
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // the format rpm
	"github.com/spf13/cobra/doc"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
)

// Where zsh looks for completions: Debian has a folder for those of packages.
const (
	zshRPM = "usr/share/zsh/site-functions/_easymicro"
	zshDeb = "usr/share/zsh/vendor-completions/_easymicro"
)

// packages makes the deb and the rpm of a binary.
func (r *release) packages(b binary) error {
	staged, err := os.MkdirTemp("", "easymicro-packaging")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staged)
	if err := r.stage(staged); err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		if err := r.pack(format, b, staged); err != nil {
			return fmt.Errorf("%s for %s: %w", format, b.arch, err)
		}
	}
	return nil
}

// stage writes the files that are the same for all architectures, at their paths below dir.
func (r *release) stage(dir string) error {
	for from, to := range map[string]string{
		"samples/systemd/easymicro.service": "usr/lib/systemd/system/easymicro.service",
		"samples/systemd/easymicro.socket":  "usr/lib/systemd/system/easymicro.socket",
		"samples/systemd/easymicro.yaml":    "etc/easymicro/easymicro.yaml",
		"samples/systemd/policies.yaml":     "etc/easymicro/policies.yaml",
	} {
		text, err := r.source(from)
		if err != nil {
			return err
		}
		if err := write(dir, to, text); err != nil {
			return err
		}
	}
	for _, made := range []struct {
		to   string
		args []string
	}{
		{"usr/share/bash-completion/completions/easymicro", []string{"completion", "bash"}},
		{zshRPM, []string{"completion", "zsh"}},
		{zshDeb, []string{"completion", "zsh"}},
		{"usr/share/fish/vendor_completions.d/easymicro.fish", []string{"completion", "fish"}},
		{"usr/share/doc/easymicro/copyright", []string{"version", "--licenses"}},
	} {
		text, err := printed(made.args...)
		if err != nil {
			return err
		}
		if err := write(dir, made.to, text); err != nil {
			return err
		}
	}
	return r.manuals(dir)
}

// source reads a file of the source, without the line that tells editors where the schema is.
func (r *release) source(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(name)))
	if bytes.HasPrefix(text, []byte("# yaml-language-server:")) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// printed returns what a command line of easymicro prints.
func printed(args ...string) ([]byte, error) {
	var out, failure bytes.Buffer
	if exit := cli.Run(context.Background(), args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &failure}); exit != cli.ExitOK {
		return nil, fmt.Errorf("easymicro %s: exit code %d: %s", strings.Join(args, " "), exit, failure.String())
	}
	return out.Bytes(), nil
}

// manuals writes a compressed manual page for each command.
func (r *release) manuals(dir string) error {
	plain, err := os.MkdirTemp("", "easymicro-manuals")
	if err != nil {
		return err
	}
	defer os.RemoveAll(plain)
	root := cli.Command()
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Date: &r.time, Source: "easymicro " + r.version, Manual: "easymicro"}
	if err := doc.GenManTree(root, &header, plain); err != nil {
		return err
	}
	pages, err := os.ReadDir(plain)
	if err != nil {
		return err
	}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(plain, page.Name()))
		if err != nil {
			return err
		}
		if err := write(dir, path.Join("usr/share/man/man1", page.Name()+".gz"), zipped(text)); err != nil {
			return err
		}
	}
	return nil
}

// zipped compresses without a time, so that equal texts stay equal.
func zipped(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(text)                                  // a bytes.Buffer takes all
	_ = w.Close()
	return b.Bytes()
}

func write(dir, name string, text []byte) error {
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// pack makes a package of what is staged and a binary.
func (r *release) pack(format string, b binary, staged string) error {
	contents, err := r.contents(staged)
	if err != nil {
		return err
	}
	scripts := filepath.Join(r.root, "cmd", "easymicro", "packaging", "scripts")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "easymicro", Arch: b.arch, Platform: "linux", Version: packageVersion(r.version), MTime: r.time,
		Section: "net", Priority: "optional", License: "Apache-2.0", Maintainer: "The easymicro Authors <easymicro@localhost>",
		Homepage: "https://" + module, DisableGlobbing: true,
		Description: "A service host: handlers in Go, everything else in YAML, hot-reloaded",
		Overridables: nfpm.Overridables{
			Contents: append(contents, r.content(b.path, "/usr/bin/easymicro", "", 0o755)),
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(scripts, "reload"), PreRemove: filepath.Join(scripts, "stop"), PostRemove: filepath.Join(scripts, "reload"),
			},
			RPM: nfpm.RPM{BuildHost: "localhost"},
		},
	})
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, fmt.Sprintf("easymicro_%s_linux_%s.%s", r.version, b.arch, format)))
	if err != nil {
		return err
	}
	if err := packager.Package(info, f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// packageVersion returns a version that packages sort below any release if it is none itself.
func packageVersion(version string) string {
	if v := strings.TrimPrefix(version, "v"); v != "" && strings.Contains(v, ".") {
		return v
	}
	return "0.0.0+" + version
}

func (r *release) contents(staged string) (files.Contents, error) {
	var all files.Contents
	err := filepath.WalkDir(staged, func(file string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		relative, err := filepath.Rel(staged, file)
		if err != nil {
			return err
		}
		to, kind := "/"+filepath.ToSlash(relative), ""
		if strings.HasPrefix(to, "/etc/") {
			kind = files.TypeConfigNoReplace
		}
		c := r.content(file, to, kind, 0o644)
		switch to {
		case "/" + zshRPM:
			c.Packager = "rpm"
		case "/" + zshDeb:
			c.Packager = "deb"
		}
		all = append(all, c)
		return nil
	})
	return all, err
}

func (r *release) content(from, to, kind string, mode os.FileMode) *files.Content {
	return &files.Content{
		Source: from, Destination: to, Type: kind,
		FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time},
	}
}

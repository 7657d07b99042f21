package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const version = "v1.2.3"

var root = filepath.Join("..", "..", "..")

// made makes the files for this machine once, without -trimpath, which would build all dependencies again.
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "easymicro-dist")
	if err != nil {
		return "", err
	}
	r := release{root: root, out: dir, version: version, time: time.Unix(1_700_000_000, 0).UTC(), flags: []string{"-buildvcs=false"}}
	return dir, r.make(context.Background(), []platform{{"linux", runtime.GOARCH}})
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := made(); err == nil && dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// file returns the path of a file of the release.
func file(t *testing.T, suffix string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the binary")
	}
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "easymicro_"+version+suffix)
}

func TestTheChecksumsAreOfAllFiles(t *testing.T) {
	dir := filepath.Dir(file(t, ""))
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 || strings.Count(string(sums), "\n") != len(entries)-1 {
		t.Errorf("%d files, checksums:\n%s", len(entries), sums)
	}
	if tool, err := exec.LookPath("sha256sum"); err == nil {
		cmd := exec.CommandContext(t.Context(), tool, "--check", "--strict", "SHA256SUMS")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestPackagesAreEqualIfMadeTwice(t *testing.T) {
	file(t, "")
	program := filepath.Join(t.TempDir(), "easymicro")
	if err := os.WriteFile(program, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sums [2][]string
	for i := range sums {
		r := release{root: root, out: t.TempDir(), version: version, time: time.Unix(1_700_000_000, 0).UTC()}
		b := []binary{{"amd64", program}}
		if err := r.packages(b[0]); err != nil {
			t.Fatal(err)
		}
		if err := r.image(b); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(r.out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			sum, err := sumOf(filepath.Join(r.out, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			sums[i] = append(sums[i], e.Name()+" "+string(sum))
		}
	}
	if len(sums[0]) != 3 || !slices.Equal(sums[0], sums[1]) {
		t.Errorf("%q\n%q", sums[0], sums[1])
	}
}

// unpackImage unpacks the layer of the image into a directory, and returns its configuration.
func unpackImage(t *testing.T, archive, dir string) imageConfig {
	t.Helper()
	blobs := readTar(t, archive)
	parse := func(name string, into any) {
		t.Helper()
		if err := json.Unmarshal(blobs[name], into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	at := func(d descriptor) string {
		t.Helper()
		name := "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:")
		if text := blobs[name]; digest(text) != d.Digest || len(text) != d.Size {
			t.Fatalf("%s: %d bytes with digest %s, want %+v", name, len(text), digest(text), d)
		}
		return name
	}
	var top, all index
	var m manifest
	var c imageConfig
	parse("index.json", &top)
	parse(at(top.Manifests[0]), &all)
	parse(at(all.Manifests[0]), &m)
	parse(at(m.Config), &c)
	zipped, err := gzip.NewReader(bytes.NewReader(blobs[at(m.Layers[0])]))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(layer); got != c.RootFS.DiffIDs[0] {
		t.Errorf("the layer is %s, the configuration has %s", got, c.RootFS.DiffIDs[0])
	}
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err == io.EOF { //nolint:errorlint // Next returns it unwrapped
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			text, _ := io.ReadAll(r)
			err = os.WriteFile(path, text, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func readTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF { //nolint:errorlint // Next returns it unwrapped
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

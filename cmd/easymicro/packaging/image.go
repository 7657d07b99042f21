package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Media types of the image format of the Open Container Initiative, version 1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// nobody is the user of the image, by the number that distroless images use.
const nobody = "65532:65532"

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *imagePlatform    `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type imagePlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	imagePlatform
	Created time.Time `json:"created"`
	Config  struct {
		User, WorkingDir string                  `json:",omitempty"`
		Entrypoint, Cmd  []string                `json:",omitempty"`
		Env              []string                `json:",omitempty"`
		ExposedPorts     map[string]any          `json:",omitempty"`
		Labels           map[string]string       `json:",omitempty"`
		Healthcheck      struct{ Test []string } // of Docker; others ignore it
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// image writes an image for the architectures of the binaries, as the archive of an OCI layout.
func (r *release) image(binaries []binary) error {
	f, err := os.Create(filepath.Join(r.out, fmt.Sprintf("easymicro_%s_oci.tar", r.version)))
	if err != nil {
		return err
	}
	defer f.Close()
	l := &imageLayout{archive: archive{tar.NewWriter(f), r.time}}
	if err := l.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	all := index{SchemaVersion: 2, MediaType: typeIndex}
	for _, b := range binaries {
		d, err := r.imageOf(l, b)
		if err != nil {
			return err
		}
		all.Manifests = append(all.Manifests, d)
	}
	top, err := l.json(typeIndex, all)
	if err != nil {
		return err
	}
	top.Annotations = map[string]string{"org.opencontainers.image.ref.name": r.version}
	text, err := json.Marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})
	if err != nil {
		return err
	}
	if err := l.file("index.json", text, 0o644); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	return f.Close()
}

// imageOf adds the image of one architecture, which has a single layer.
func (r *release) imageOf(l *imageLayout, b binary) (descriptor, error) {
	layer, err := r.layer(b)
	if err != nil {
		return descriptor{}, err
	}
	at := imagePlatform{Architecture: b.arch, OS: "linux"}
	c := imageConfig{imagePlatform: at, Created: r.time}
	c.Config.User, c.Config.WorkingDir = nobody, "/etc/easymicro"
	c.Config.Entrypoint, c.Config.Cmd = []string{"/easymicro"}, []string{"serve", "--config", "/etc/easymicro/easymicro.yaml"}
	c.Config.ExposedPorts = map[string]any{"8972/tcp": struct{}{}, "8971/tcp": struct{}{}}
	c.Config.Labels = map[string]string{
		"org.opencontainers.image.version": r.version, "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://" + module,
	}
	c.Config.Healthcheck.Test = []string{"CMD", "/easymicro", "status"}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{digest(layer)}
	m := manifest{SchemaVersion: 2, MediaType: typeManifest}
	if m.Config, err = l.json(typeConfig, c); err != nil {
		return descriptor{}, err
	}
	stored, err := l.blob(typeLayer, zipped(layer))
	if err != nil {
		return descriptor{}, err
	}
	m.Layers = []descriptor{stored}
	d, err := l.json(typeManifest, m)
	d.Platform = &at
	return d, err
}

// layer returns the root of the image: the binary, its licences, users, and a manifest that can be mounted over.
func (r *release) layer(b binary) ([]byte, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	licenses, err := printed("version", "--licenses")
	if err != nil {
		return nil, err
	}
	host, err := r.source("samples/kubernetes/easymicro.yaml")
	if err != nil {
		return nil, err
	}
	policies, err := r.source("samples/kubernetes/policies.yaml")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	a := &archive{tar.NewWriter(&out), r.time}
	for _, dir := range []string{"etc", "etc/easymicro", "etc/ssl", "etc/ssl/certs"} {
		if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: r.time}); err != nil {
			return nil, err
		}
	}
	contents := []layerFile{
		{"easymicro", program, 0o755},
		{"LICENSES.txt", licenses, 0o644},
		{"etc/passwd", []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n"), 0o644},
		{"etc/group", []byte("root:x:0:\nnonroot:x:65532:\n"), 0o644},
		{"etc/easymicro/easymicro.yaml", host, 0o644},
		{"etc/easymicro/policies.yaml", policies, 0o644},
	}
	if r.caFile != "" {
		certificates, err := os.ReadFile(r.caFile)
		if err != nil {
			return nil, err
		}
		contents = append(contents, layerFile{"etc/ssl/certs/ca-certificates.crt", certificates, 0o644})
	}
	for _, c := range contents {
		if err := a.file(c.name, c.text, c.mode); err != nil {
			return nil, err
		}
	}
	if err := a.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// layerFile is a file of the root of the image.
type layerFile struct {
	name string
	text []byte
	mode int64
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// archive writes files of one time.
type archive struct {
	*tar.Writer
	time time.Time
}

func (a *archive) file(name string, text []byte, mode int64) error {
	if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(text)), ModTime: a.time}); err != nil {
		return err
	}
	_, err := io.Copy(a, bytes.NewReader(text))
	return err
}

// imageLayout is the archive of an OCI layout.
type imageLayout struct{ archive }

func (l *imageLayout) blob(mediaType string, text []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digest(text), Size: len(text)}
	return d, l.file(path.Join("blobs", "sha256", d.Digest[len("sha256:"):]), text, 0o644)
}

func (l *imageLayout) json(mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.blob(mediaType, text)
}

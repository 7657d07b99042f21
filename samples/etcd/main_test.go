package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// start runs the command until stop is called, and returns the URL that it prints.
func start(t *testing.T, args ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, w, io.Discard)
		_ = w.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		cancel()
		t.Fatalf("it ended: %v", <-ended)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	_, url, ok := strings.Cut(lines.Text(), "http://")
	if !ok {
		t.Fatalf("it printed %q", lines.Text())
	}
	return "http://" + url, func() error { cancel(); return <-ended }
}

func do(t *testing.T, url string, f func(context.Context, *clientv3.Client) error) {
	t.Helper()
	cl, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := f(ctx, cl); err != nil {
		t.Fatal(err)
	}
}

func TestDataIsKeptOnlyInTheDataDirectory(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	data := t.TempDir()
	for name, args := range map[string][]string{"temporary": nil, "kept": {"-data", data}} {
		t.Run(name, func(t *testing.T) {
			for life := range 2 {
				url, stop := start(t, append(args, "-listen", "127.0.0.1:0")...)
				do(t, url, func(ctx context.Context, cl *clientv3.Client) error {
					r, err := cl.Get(ctx, "key")
					if err != nil {
						return err
					}
					if there, want := len(r.Kvs) == 1, name == "kept" && life > 0; there != want {
						t.Errorf("life %d: the key is there: %v, want %v", life, there, want)
					}
					_, err = cl.Put(ctx, "key", "value")
					return err
				})
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestATakenPortIsExplained(t *testing.T) {
	url, stop := start(t, "-listen", "127.0.0.1:0")
	defer func() { _ = stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := run(ctx, []string{"-listen", strings.TrimPrefix(url, "http://")}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "if another etcd is running there") {
		t.Errorf("%v", err)
	}
}

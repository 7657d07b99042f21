package rig

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// etcd is the etcd of samples/etcd, for contestants that need one.
type etcd struct {
	cmd *exec.Cmd
	url string
}

func startEtcd(ctx context.Context, dir string) (*etcd, error) {
	program := filepath.Join(dir, "etcd-of-samples")
	if err := goBuild(ctx, filepath.Join("..", "etcd"), program, "."); err != nil {
		return nil, err
	}
	e := &etcd{cmd: exec.CommandContext(ctx, program, "-listen", "127.0.0.1:0")} //nolint:gosec // that was just built
	e.cmd.Stderr = os.Stderr
	e.cmd.Cancel = func() error { return e.cmd.Process.Signal(syscall.SIGTERM) }
	e.cmd.WaitDelay = 10 * time.Second
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "etcd" {
			e.url = fields[1]
			return e, nil
		}
	}
	return nil, fmt.Errorf("samples/etcd does not start: %w", e.cmd.Wait())
}

func (e *etcd) stop() {
	_ = e.cmd.Cancel()
	_ = e.cmd.Wait()
}

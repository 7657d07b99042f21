package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// Entrant is a contestant with its program.
type Entrant struct {
	contract.Description

	Added bool `json:"added,omitempty"` // by path, not from this module

	inProgram string // its name there
	program   string
}

// ownPrograms are the packages of the contestants of this module, in the order of the tables.
var ownPrograms = []string{"easymicro", "grpc", "drpc", "netrpc", "floor", "http"}

// buildOwn builds the contestants of this module, whose directory is the current one, into dir.
func buildOwn(ctx context.Context, dir string) ([]*Entrant, error) {
	if err := goBuild(ctx, ".", dir+string(filepath.Separator), "./contestants/..."); err != nil {
		return nil, err
	}
	var all []*Entrant
	for _, name := range ownPrograms {
		entrants, err := describe(ctx, filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, entrants...)
	}
	return all, nil
}

func goBuild(ctx context.Context, from, to, packages string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, packages) //nolint:gosec // packages of this repository
	cmd.Dir = from
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", packages, from, err, out)
	}
	return nil
}

// add returns the contestants of a program that is given as PATH or PREFIX=PATH. The prefix distinguishes contestants that are
// called like others.
func add(ctx context.Context, arg string) ([]*Entrant, error) {
	prefix, program, found := strings.Cut(arg, "=")
	if !found {
		prefix, program = "", arg
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	entrants, err := describe(ctx, program)
	for _, e := range entrants {
		e.Added = true
		if prefix != "" {
			e.Name = prefix + ":" + e.Name
		}
	}
	return entrants, err
}

// describe asks a program for its contestants.
func describe(ctx context.Context, program string) ([]*Entrant, error) {
	cmd := exec.CommandContext(ctx, program, "describe")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s describe: %w", program, err)
	}
	var descriptions []contract.Description
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&descriptions); err != nil {
		return nil, fmt.Errorf("%s describe: %w", program, err)
	}
	var all []*Entrant
	for _, d := range descriptions {
		all = append(all, &Entrant{Description: d, inProgram: d.Name, program: program})
	}
	return all, nil
}

// choose returns the entrants that one of the patterns matches, as path.Match does but for slashes, and all of them if there are
// no patterns.
func choose(entrants []*Entrant, patterns []string) ([]*Entrant, error) {
	if len(patterns) == 0 {
		return entrants, nil
	}
	chosen := map[*Entrant]bool{}
	for _, pattern := range patterns {
		matched := false
		for _, e := range entrants {
			if ok, err := path.Match(flat(pattern), flat(e.Name)); err != nil {
				return nil, fmt.Errorf("contestant %s: %w", pattern, err)
			} else if ok {
				chosen[e], matched = true, true
			}
		}
		if !matched {
			return nil, fmt.Errorf("no contestant %s: there are %s", pattern, strings.Join(names(entrants), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(entrants), func(e *Entrant) bool { return !chosen[e] }), nil
}

// flat returns a name without slashes, at which path.Match would stop.
func flat(name string) string { return strings.ReplaceAll(name, "/", "|") }

func names(entrants []*Entrant) []string {
	var all []string
	for _, e := range entrants {
		all = append(all, e.Name)
	}
	return all
}

// environment is what both processes of an entrant find.
func (e *Entrant) environment(gogc, etcd string) []string {
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "GOGC=") })
	switch {
	case gogc != "":
		env = append(env, "GOGC="+gogc)
	case e.GOGC == "":
		env = append(env, "GOGC=100")
	case e.GOGC != "unset":
		env = append(env, "GOGC="+e.GOGC)
	}
	if etcd != "" {
		env = append(env, contract.EtcdVariable+"="+etcd)
	}
	return env
}

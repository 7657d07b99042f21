package config

import "path/filepath"

// Set is the manifest and all that belongs to it, read, checked and applied as a whole. It is not changed once made.
type Set struct {
	Manifest *Manifest
	Rules    []Rule // of the manifest, then of the files in name order
	Tokens   []Token
	Files    []File // all that was read, in name order
	Hash     string // of paths and contents
	Contents Contents
	Dir      string                           // the manifest's folder: relative paths start there
	Env      func(name string) (string, bool) // looks up ${VAR} in files that are read later; nil is the environment
	Warnings Problems

	// StandIn says what stands in for the files that are wrong, Rejected what is wrong with them, and Desired which files
	// the set would have had; empty when the set is what the files say.
	StandIn  string
	Rejected Problems
	Desired  []File
}

// File is one file of a set.
type File struct {
	Path string `json:"path"` // as shown: relative to the manifest's folder
	Hash string `json:"hash"`
}

// Path is a path of the manifest made independent of the current folder.
func (s *Set) Path(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

//go:build base

package main

import (
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
)

func ownHeap(*host.Options) {}

func clientHeap() {}

func ofTheseSources() []contestant.Contestant { return nil }

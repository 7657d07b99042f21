package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func manyRules(n int) []byte {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range n {
		fmt.Fprintf(&text, "  - name: rule-%d\n    match: {service: Arith, method: [Mul, Div]}\n    rateLimit: {rate: 5, burst: 10}\n    timeout: 1s\n", i)
	}
	return []byte(text.String())
}

func BenchmarkDecodeThousandRules(b *testing.B) {
	data := manyRules(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := config.DecodeRules("p.yaml", data, nil); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func BenchmarkDiffThousandRules(b *testing.B) {
	data := manyRules(1000)
	old, _ := config.DecodeRules("p.yaml", data, nil)
	next, _ := config.DecodeRules("p.yaml", data, nil)
	b.ReportAllocs()
	for b.Loop() {
		if changes := config.Diff(&config.Set{Rules: old}, &config.Set{Rules: next}); len(changes) > 0 {
			b.Fatal(changes)
		}
	}
}

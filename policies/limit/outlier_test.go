package limit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
)

// While an upstream is down each of its calls fails, and asks whether one more endpoint may be ejected.
func TestAFailureWhenNoMoreMayBeEjectedCostsLittle(t *testing.T) {
	const known = 100
	o := limit.NewOutliers(func() int { return known }, func(limit.Event) {})
	s := &limit.OutlierSettings{
		Failures: 1, Interval: time.Second, BaseEjection: time.Minute, MaxEjection: time.Minute, MaxEjectPercent: 50,
	}
	down := errors.New("down")
	var last *limit.Outlier
	for i := range known {
		last = o.Endpoints.Of(fmt.Sprint("a:", i))
		o.Report(last, s, down)
	}
	if o.Stats(last).Ejected {
		t.Fatal("it is ejected")
	}
	if n := testing.AllocsPerRun(100, func() { o.Report(last, s, down) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEndpointsWithoutEndShareState(t *testing.T) {
	p := limit.NewPerEndpoint(func(address string) *string { return &address })
	for i := range 5000 {
		p.Of(fmt.Sprint("a:", i))
	}
	if n := len(p.All()); n != 4096+1 || *p.Of("another:1") != limit.Other {
		t.Errorf("%d endpoints, %s", n, *p.Of("another:1"))
	}
	p.Drop(func(address string) bool { return address != "a:1" })
	if n := len(p.All()); n != 1 || *p.Of("another:1") != "another:1" {
		t.Errorf("%d endpoints, %s", n, *p.Of("another:1"))
	}
}

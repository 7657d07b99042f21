package cli

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTimesAreToldInTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", time.Hour: "1h00m",
		25*time.Hour + 3*time.Minute: "1d01h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for d, want := range map[time.Duration]string{-time.Minute: "just now", time.Millisecond: "just now", 90 * time.Second: "1m30s ago"} {
			if got := ago(time.Now().Add(-d)); got != want {
				t.Errorf("%v: %s, want %s", d, got, want)
			}
		}
		if got := ago(time.Time{}); got != "never" {
			t.Error(got)
		}
		if got, want := ago(time.Now().Add(-72*time.Hour)), time.Now().Add(-72*time.Hour).Local().Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

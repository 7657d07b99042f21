package view

import (
	"fmt"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

func TestOfManyExpiriesTheFirstAreShown(t *testing.T) {
	begin := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	set := new(config.Set)
	for i := range 1000 {
		set.Tokens = append(set.Tokens, config.Token{Caller: fmt.Sprint("c", i), Expires: begin.Add(time.Duration(i) * time.Second)})
	}
	set.Tokens = append(set.Tokens, config.Token{Caller: "far", Expires: begin.Add(100 * 24 * time.Hour)})
	list, more := Expiries(set, begin)
	if len(list) != shownExpiries || more != 1000-shownExpiries || list[0].Caller != "c0" {
		t.Errorf("%d are shown and %d more, the first is %+v", len(list), more, list[0])
	}
	if list, more := Expiries(new(config.Set), begin); list == nil || len(list) > 0 || more != 0 {
		t.Errorf("%v and %d more of none", list, more)
	}
}

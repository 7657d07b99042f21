package client

import (
	"testing"
)

func TestCallFindsItsServiceAndDecodesTheAnswer(t *testing.T) {
	s := newServer(t, mul)
	for _, codec := range []string{"", "json"} {
		c := newClient(t, Options{Resolver: serving(s.address), Codec: codec})
		for range 10 {
			if err := six(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.conns() != 2 {
		t.Errorf("%d connections, want one a client", s.conns())
	}
}

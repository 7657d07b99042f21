package gateway

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// The preface of HTTP/2 behind a request of HTTP/1 is answered at once, and not lost: its reader would wait for the rest.
func TestThePrefaceOfHTTP2BehindAnEarlyAnswerIsNotLost(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	c := dialRaw(t, serve(t, stuck(leave), Options{}))
	fmt.Fprintf(c, "POST /Arith/Hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}%s", preface2)
	if r := c.response(t); r.StatusCode != 504 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	begin := time.Now()
	if _, err := io.ReadAll(c.in); time.Since(begin) > headerTimeout/2 {
		t.Errorf("closed after %s: %v", time.Since(begin), err)
	}
}

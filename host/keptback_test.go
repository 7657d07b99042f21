package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// Callers over HTTP learn what they can act on; the log of the operators has the rest.
func TestAddressesAndTypesAreForTheLogAndNotForHTTPCallers(t *testing.T) {
	far, _ := startTill(t, 0)
	address := far.Address
	var log logBuffer
	h := hosttest.Start(t, strings.NewReplacer("TILL", address).Replace(`
host: {name: desk-1}
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, resolve: {endpoints: ["TILL"]}}]
`), hosttest.Options{Registry: deskPlant(t).reg, Log: &log})
	far.Stop()

	for _, tc := range []struct {
		name, path, body, header, value string
		detail                          string
		kept                            []string
	}{
		{"a handler's upstream", "/Desk/Mul", `{"A":1,"B":2}`, "", "", "no endpoint of Till can be reached", []string{address, "connection refused"}},
		{"a type", "/Desk/Mul", `[]`, "", "", `json payload: expected an object, got an array at byte 0`, []string{"args"}},
		{"a type inside", "/Desk/Wait", `{"A":"x"}`, "", "", `json payload: expected an integer, got a string at byte 5 (in "/A")`, []string{"cannot be decoded into int"}},
		{"an origin", "/Desk/Mul", `{}`, "Origin", "https://evil.example", "cross-origin requests of https://evil.example are not allowed", []string{"gateway.cors.allowOrigins"}},
	} {
		r, body := h.Post(tc.path, tc.body, headers(tc.header, tc.value)...)
		p := problemOf(t, r, body)
		if p.Detail != tc.detail {
			t.Errorf("%s: the caller is told %q, want %q", tc.name, p.Detail, tc.detail)
		}
		for _, kept := range tc.kept {
			if strings.Contains(body, kept) || strings.Contains(r.Header.Get("Easymicro-Errormessage"), kept) {
				t.Errorf("%s: the caller is told %q: %s", tc.name, kept, body)
			}
			if said := log.String(); !strings.Contains(said, kept) {
				t.Errorf("%s: operators are not told %q: %s", tc.name, kept, said)
			}
		}
	}
	if _, err := mul(t, h, 1, 2); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("the text over rpcx does not say all there is: %v", err)
	}
}

func headers(pair ...string) []string {
	if pair[0] == "" {
		return nil
	}
	return pair
}

package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

// FuzzQuery checks that any parameters become JSON of the argument's type, or an error.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&u=2", "list=1&list=2", "sub={}", "any=[", "name=%22%00", "big=1", "raw=nul", "A=1&a=2"} {
		f.Add(s)
	}
	b, err := newBinder(reflect.TypeFor[query]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		got, what := b.object(nil, values)
		if what == "" && !json.Valid(got) {
			t.Errorf("%q made %q", s, got)
		}
	})
}

// FuzzHeaders checks that no header makes the gateway panic, sets reserved metadata, or breaks out of its line.
func FuzzHeaders(f *testing.F) {
	f.Add("Easymicro-Meta", "a=1&__AUTH=x", "/Arith/Mul", "text/plain")
	f.Add("X-RPCX-ServiceMethod", "Mul", "/Arith", "application/json; charset=utf-8")
	f.Add("X-RPCX-Messageid", "1\r\nX: 2", "/", "")
	f.Add("Content-Encoding", "gzip", "/Arith/Mul", "application/msgpack")
	f.Add("X-Forwarded-For", "1.2.3.4,,[::1]:9", "/Arith/Mul", "")
	b := &backend{}
	g, err := New(Options{Handler: b, Resolve: b.resolve, Get: []string{"Arith.Mul"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, value, path, contentType string) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(`{"a":1}`))
		r.URL = &url.URL{Path: path, RawPath: path}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Rpcx-Version", "1")
		r.Header.Set(key, value)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d", w.Code)
		}
		for k, values := range w.Header() {
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n") && !strings.ContainsAny(value, "\r\n") {
					t.Errorf("header %s: %q", k, v)
				}
			}
		}
		last, _ := b.lastCall()
		for _, p := range last.Metadata {
			if reserved(p[0]) && p[0] != wire.MetaAuth {
				t.Errorf("metadata %q", p)
			}
		}
		if last.Metadata.Get(wire.MetaAuth) != "" && http.CanonicalHeaderKey(key) != "Authorization" {
			t.Errorf("a token from %s", key)
		}
	})
}

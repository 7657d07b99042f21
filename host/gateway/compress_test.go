package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

func TestThePreferredCompressionIsUsed(t *testing.T) {
	for accept, want := range map[string]string{
		"":                            "",
		"gzip":                        "gzip",
		"zstd":                        "zstd",
		"gzip, deflate, br, zstd":     "zstd",
		"gzip;q=1.0, zstd;q=0.5":      "gzip",
		"GZIP ; Q=0.2":                "gzip",
		"x-gzip":                      "gzip",
		"*":                           "gzip",
		"*, gzip;q=0":                 "zstd",
		"*;q=0.5, zstd":               "zstd",
		"identity, gzip;q=0.5":        "",
		"identity, *;q=0.1":           "",
		"identity;q=0.5, gzip":        "gzip",
		"identity, gzip":              "gzip",
		"identity;q=0, gzip;q=0.1":    "gzip",
		"zstd;q=0.2, identity;q=0.3":  "",
		"*;q=0.5, zstd;q=0":           "gzip",
		"*;q=0":                       "",
		"gzip;q=0":                    "",
		"gzip;q=0, identity":          "",
		"gzip;q=0.000":                "",
		"identity, br":                "",
		"gzip;q=2":                    "",
		"gzip;q=x":                    "",
		"zstd;dictionary=1":           "",
		"gzip;q=NaN":                  "",
		", ,gzip,":                    "gzip",
		strings.Repeat("a,", 10_000):  "",
		"identity;q=1, *;q=0, gzip":   "gzip",
		"br;q=1.0, gzip;q=0.8, *;q=0": "gzip",
	} {
		if got, _ := acceptedEncoding(strings.Split(accept, "\n")); got != want {
			t.Errorf("%.40q: %q, want %q", accept, got, want)
		}
	}
	if got, _ := acceptedEncoding([]string{"br", "gzip"}); got != "gzip" {
		t.Errorf("two lines: %q", got)
	}
}

func TestRepliesAreCompressedIfAccepted(t *testing.T) {
	noise := make([]byte, 4<<10)
	_, _ = rand.Read(noise)
	b := &backend{hook: func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}}
	url := "http://" + serve(t, b, Options{Get: []string{"Arith.Hook"}})
	text := strings.Repeat("text ", 1000)
	zipped, err := wire.AppendCompressed(nil, wire.Gzip, noise)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, kind, body, accept, want string }{
		{"zstd", "json", `"` + text + `"`, "zstd, gzip", "zstd"},
		{"gzip", "json", `"` + text + `"`, "gzip", "gzip"},
		{"nothing", "json", `"` + text + `"`, "br", ""},
		{"a short one", "json", `"` + text[:900] + `"`, "gzip", ""},
		{"another codec", "msgpack", text, "gzip", "gzip"},
		{"raw", "octet-stream", text, "gzip", "gzip"},
		{"raw, compressed already", "octet-stream", string(zipped), "gzip", ""},
		{"noise", "octet-stream", "\x00" + string(noise), "gzip", ""},
		{"noise", "msgpack", string(noise), "zstd", ""},
	} {
		r := do(t, "POST", url+"/Arith/Hook", tc.body, "Content-Type: application/"+tc.kind, "Accept-Encoding: "+tc.accept)
		got := []byte(r.body)
		if c, ok := map[string]wire.Compression{"zstd": wire.Zstd, "gzip": wire.Gzip}[r.Header.Get("Content-Encoding")]; ok {
			if got, err = wire.Decompress(nil, c, got, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		vary := ""
		if len(tc.body) >= minCompressed {
			vary = "Accept-Encoding"
		}
		if r.StatusCode != 200 || r.Header.Get("Content-Encoding") != tc.want || r.Header.Get("Vary") != vary || !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace([]byte(tc.body))) {
			t.Errorf("%s: %d %v, %d bytes", tc.name, r.StatusCode, r.Header, len(got))
		}
		if r.ContentLength != int64(len(r.body)) {
			t.Errorf("%s: a length of %d for %d bytes", tc.name, r.ContentLength, len(r.body))
		}
	}
	get := do(t, "GET", url+"/Arith/Hook?a="+strconv.Itoa(1)+strings.Repeat("0", 9)+"&"+strings.Repeat("x=1&", 10), "", "Accept-Encoding: gzip")
	head := do(t, "HEAD", url+"/Arith/Hook?a=1", "", "Accept-Encoding: gzip")
	if get.StatusCode != 200 || head.StatusCode != 200 || head.body != "" {
		t.Errorf("GET %d, HEAD %d %q", get.StatusCode, head.StatusCode, head.body)
	}
}

// A compressed response that waits for its caller does not keep the uncompressed one in memory.
func TestTheUncompressedReplyIsReleased(t *testing.T) {
	for accept, kept := range map[string]bool{"gzip": false, "zstd": false, "br": true} {
		limits := wire.Limits{}.WithDefaults()
		s := response{request: &request{stream: stream{
			w: discard{http.Header{}}, r: &http.Request{Header: http.Header{"Accept-Encoding": {accept}}}, limits: &limits,
		}}}
		res := wire.Frame{Payload: bytes.Repeat([]byte("text "), 100_000)}
		if out, _ := compress(http.Header{}, []string{accept}, false, res.Payload); cap(out) > 130_000 {
			t.Errorf("%s: %d bytes of %d", accept, len(out), cap(out))
		}
		if e := s.succeed(&res); e != nil || (res.Payload != nil) != kept {
			t.Errorf("%s: %d bytes are kept, %v", accept, cap(res.Payload), e)
		}
	}
}

func TestHeadHasTheHeadersOfGet(t *testing.T) {
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, `"`+strings.Repeat("text ", 1000)+`"`...)
		return nil
	}}
	url := "http://" + serve(t, b, Options{
		Get: []string{"Arith.Hook"}, Routes: []Route{{Path: "/v1/hook", Methods: []string{"GET"}, Service: "Arith", Method: "Hook"}},
	})
	for _, path := range []string{"/Arith/Hook", "/arith/hook", "/v1/hook"} {
		for _, accept := range []string{"identity", "gzip", "zstd"} {
			get, head := do(t, "GET", url+path, "", "Accept-Encoding: "+accept), do(t, "HEAD", url+path, "", "Accept-Encoding: "+accept)
			get.Header.Del("Date")
			head.Header.Del("Date")
			same := len(get.Header) == len(head.Header)
			for k := range get.Header {
				same = same && get.Header.Get(k) == head.Header.Get(k)
			}
			if head.StatusCode != 200 || head.body != "" || !same {
				t.Errorf("%s for %s: %d, %d bytes, %v, want %v", path, accept, head.StatusCode, len(head.body), head.Header, get.Header)
			}
		}
	}
}

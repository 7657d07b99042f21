package metadata_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples/metadata"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestMetadataTravelsBothWaysOverRpcx(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	for _, tt := range []struct{ lang, text, back string }{
		{"", "Hello, Ada", "en"},
		{"it", "Ciao, Ada", "it"},
	} {
		req := wire.Frame{Service: "Greeter", Method: "Greet", Codec: wire.JSON, Payload: []byte(`{"name":"Ada"}`)}
		if tt.lang != "" {
			req.Metadata.Set("lang", tt.lang)
		}
		var res wire.Frame
		if err := c.Do(t.Context(), &req, &res); err != nil {
			t.Fatal(err)
		}
		var got metadata.Greeting
		if err := json.Unmarshal(res.Payload, &got); err != nil {
			t.Fatal(err)
		}
		if got.Text != tt.text || res.Metadata.Get("lang") != tt.back || res.Metadata.Get("greeted") != "anonymous" {
			t.Errorf("lang %q: %v with %v", tt.lang, got, res.Metadata)
		}
	}
}

func TestMetadataTravelsBothWaysOverHTTP(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for _, tt := range []struct {
		name, header, value, text, back string
	}{
		{"without any", "", "", "Hello, Ada", "Easymicro-Meta"},
		{"as the first easymicro sends it", "Easymicro-Meta", "lang=fr&tenant=blue%20sky", "Bonjour, Ada", "Easymicro-Meta"},
		{"as a header of its own", "X-Lang", "it", "Ciao, Ada", "Easymicro-Meta"},
		{"in another case", "Easymicro-Meta", "Lang=fr", "Bonjour, Ada", "Easymicro-Meta"},
		{"as the gateway of rpcx takes it", "X-RPCX-Meta", "lang=it", "Ciao, Ada", "X-RPCX-Meta"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = []string{tt.header, tt.value}
			}
			res, body := h.Post("/Greeter/Greet", `{"name":"Ada"}`, headers...)
			if !strings.Contains(body, tt.text) {
				t.Errorf("%s %s, want %s", res.Status, body, tt.text)
			}
			if back := res.Header.Get(tt.back); !strings.Contains(back, "lang=") || !strings.Contains(back, "greeted=anonymous") {
				t.Errorf("%s is %q", tt.back, back)
			}
		})
	}
}

func TestIdentityInMetadataIsIgnored(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	res, _ := h.Post("/Greeter/Greet", `{"name":"Ada"}`, "Easymicro-Meta", "caller=root&x-em-caller=root&__caller=root&lang=it")
	if back := res.Header.Get("Easymicro-Meta"); !strings.Contains(back, "greeted=anonymous") || !strings.Contains(back, "lang=it") {
		t.Errorf("%q", back)
	}
}

func TestAHandlerMayRefuseByMetadata(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	req := wire.Frame{
		Service: "Greeter", Method: "Greet", Codec: wire.JSON, Payload: []byte(`{"name":"Ada"}`), Metadata: wire.Metadata{{"lang", "xx"}},
	}
	err := code.From(c.Do(t.Context(), &req, new(wire.Frame)))
	if err == nil || err.Code != code.InvalidArgument || err.Reason != "unknown_language" {
		t.Errorf("%+v", err)
	}
}

package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/easymicro/easymicro/wire/code"
)

// overTheWire returns f as a client reads it.
func overTheWire(t testing.TB, f *Frame) *Frame {
	t.Helper()
	got, _, err := ParseFrame(AppendFrame(nil, f), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &got
}

func TestErrorsAreSentWithAllFields(t *testing.T) {
	refusal := code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "partner-quota@r42", "orders-7", 140*time.Millisecond)
	tests := []struct {
		name string
		e    *code.Error
	}{
		{"refusal", refusal},
		{"handler's code", code.Errorf(code.NotFound, "order 7").WithReason("no_such_order")},
		{"plain", &code.Error{Code: code.Unknown, Message: "divide by zero"}},
		{"text of many lines", &code.Error{Code: code.Internal, Message: "ä\n\x00\xff"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Frame{Type: Response, Compression: Gzip, Payload: []byte("gone"), Metadata: Metadata{{"etag", "7"}}}
			SetError(&f, tt.e)
			if f.Status != StatusError || len(f.Payload) != 0 || f.Compression != NoCompression || f.Metadata.Get("etag") != "7" {
				t.Errorf("frame %+v", f)
			}
			for _, key := range []string{MetaError, MetaErrorEasymicro} {
				if got := f.Metadata.Get(key); got != tt.e.Message {
					t.Errorf("%s = %q", key, got)
				}
			}
			got := ErrorOf(overTheWire(t, &f))
			if got.Code != tt.e.Code || got.Reason != tt.e.Reason || got.Message != tt.e.Message || got.Rule != tt.e.Rule ||
				got.Host != tt.e.Host || got.RetryAfter != tt.e.RetryAfter {
				t.Errorf("got %+v, want %+v", got, tt.e)
			}
			if edge := code.Edge(got); edge.Reason != "" || edge.Rule != "" {
				t.Errorf("one hop up it still says %s %s", edge.Reason, edge.Rule)
			}
		})
	}
}

func TestDetailOfARefusalIsPassedOnByAHandler(t *testing.T) {
	far := code.Remote(code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "quota@r42", "billing-3", 140*time.Millisecond))
	for want, err := range map[string]error{
		"rate limited by quota@r42, retry in 140ms":      far,
		"pay: rate limited by quota@r42, retry in 140ms": fmt.Errorf("pay: %w", far),
		"own: rate limited by quota@r42, retry in 140ms": code.Errorf(code.Aborted, "own: %w", far),
	} {
		var f Frame
		SetError(&f, code.Edge(err))
		got := ErrorOf(overTheWire(t, &f))
		if got.Detail() != want || got.Message != err.Error() {
			t.Errorf("%q, %q, want %q", got.Detail(), got.Message, want)
		}
	}
}

func TestErrorOfReadsBothProtocolFamiliesAndTrustsLittle(t *testing.T) {
	tests := []struct {
		name string
		meta Metadata
		want code.Error
	}{
		{"rpcx", Metadata{{MetaError, "divide by zero"}}, code.Error{Code: code.Unknown, Message: "divide by zero"}},
		{"easymicro", Metadata{{MetaErrorEasymicro, "boom"}}, code.Error{Code: code.Unknown, Message: "boom"}},
		{"no text", nil, code.Error{Code: code.Unknown, Message: "the peer returned an error without a message"}},
		{"unknown code", Metadata{{MetaError, "x"}, {MetaCode, "NOPE"}}, code.Error{Code: code.Unknown, Message: "x"}},
		{"code OK", Metadata{{MetaError, "x"}, {MetaCode, "OK"}}, code.Error{Code: code.Unknown, Message: "x"}},
		{"negative wait", Metadata{{MetaError, "x"}, {MetaRetryAfter, "-5"}}, code.Error{Code: code.Unknown, Message: "x"}},
		{"wait for ever", Metadata{{MetaError, "x"}, {MetaRetryAfter, "9223372036854775807"}}, code.Error{Code: code.Unknown, Message: "x", RetryAfter: maxRetryAfter}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ErrorOf(&Frame{Status: StatusError, Metadata: tt.meta})
			if got.Code != tt.want.Code || got.Message != tt.want.Message || got.RetryAfter != tt.want.RetryAfter {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	if e := ErrorOf(&Frame{Metadata: Metadata{{MetaError, "x"}}}); e != nil {
		t.Errorf("a normal response has the error %v", e)
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	var f Frame
	SetError(&f, &code.Error{Code: code.Unavailable, RetryAfter: 1500 * time.Microsecond})
	if got := f.Metadata.Get(MetaRetryAfter); got != "2" {
		t.Errorf("got %s ms", got)
	}
}

func TestAnErrorReplacesAnEarlierOne(t *testing.T) {
	var f Frame
	SetError(&f, code.Refuse(code.Unavailable, code.ReasonOverloaded, "busy", "r@r1", "h", time.Second))
	SetError(&f, &code.Error{Code: code.Internal})
	want := Metadata{{MetaError, "INTERNAL"}, {MetaErrorEasymicro, "INTERNAL"}, {MetaCode, "INTERNAL"}}
	if len(f.Metadata) != len(want) || f.Metadata[0] != want[0] || f.Metadata[1] != want[1] || f.Metadata[2] != want[2] {
		t.Errorf("got %v", f.Metadata)
	}
}

func TestAnErrorTextFitsTheMetadataLimitOfAClient(t *testing.T) {
	f := Frame{Type: Response}
	SetError(&f, &code.Error{Code: code.Internal, Message: strings.Repeat("ä", 1<<20)})
	got := ErrorOf(overTheWire(t, &f))
	if len(got.Message) < maxErrorText-4 || !utf8.ValidString(got.Message) {
		t.Errorf("%d bytes are left", len(got.Message))
	}
}

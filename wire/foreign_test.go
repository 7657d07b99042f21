package wire

import (
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

func TestTextsOfStockPeersMapToCodes(t *testing.T) {
	for _, test := range []struct {
		text   string
		code   code.Code
		reason string
	}{
		{"rpcx: can't find service Arith", code.Unimplemented, code.ReasonUnknownMethod},
		{"rpcx: can't find method Mul", code.Unimplemented, code.ReasonUnknownMethod},
		{"rpcx: can't find service  for func raw function", code.Unimplemented, code.ReasonUnknownMethod},
		{"easymicro: can't find service Arith", code.Unimplemented, code.ReasonUnknownMethod},
		{"easymicro: can't find method Mul", code.Unimplemented, code.ReasonUnknownMethod},
		{"rpc: can't find service Arith.Mul", code.Unimplemented, code.ReasonUnknownMethod},
		{"rpcx: can't find service Ledger", code.Unimplemented, ""}, // which the handler has called
		{"rpcx: can't find method ", code.Unimplemented, ""},
		{"request reached rate limit", code.ResourceExhausted, ""},
		{"invalid token", code.Unauthenticated, ""},
		{"can not find codec for 9", code.InvalidArgument, ""},
		{"reflect: call of reflect.Value.SetBytes on struct Value", code.InvalidArgument, ""},
		{"*main.Args is not a proto.Unmarshaler", code.InvalidArgument, ""},
		{"*main.Args is not a proto.Unmarshaler  or pb.Message", code.InvalidArgument, ""},
		{"*main.Reply is not a proto.Marshaler or pb.Message", code.Internal, code.ReasonBadReply},
		{"[service internal error]: boom, method: Mul, argv: {A:1}, stack: goroutine 7", code.Internal, code.ReasonPanic},
		{"http: Server closed", code.Unavailable, ""},
		{"context deadline exceeded", code.DeadlineExceeded, code.ReasonTimeout},
		{"select orders: context deadline exceeded", code.DeadlineExceeded, code.ReasonTimeout},
		{"context canceled", code.Cancelled, code.ReasonCancelled},
		{"connection is shut down", code.Unavailable, ""},
		{"can not found any server", code.Unavailable, ""},
		{"breaker open", code.Unavailable, ""},
		{"request timeout", code.DeadlineExceeded, ""},

		// Similar texts.
		{"divide by zero", code.Unknown, ""},
		{"I can't find service Arith", code.Unknown, ""},
		{"Rpcx: can't find service Arith", code.Unknown, ""},
		{"the request reached rate limit 5", code.Unknown, ""},
		{"invalid token at line 3", code.Unknown, ""},
		{"connection is shut down for the night", code.Unknown, ""},
		{"no context deadline exceeded", code.Unknown, ""},
		{"your number is not a proto.Marshaler", code.Unknown, ""},
		{"see [service internal error]: x", code.Unknown, ""},
	} {
		for _, key := range []string{MetaError, MetaErrorEasymicro} {
			f := &Frame{Type: Response, Status: StatusError, Service: "Arith", Method: "Mul", Metadata: Metadata{{key, test.text}}}
			e := ErrorOf(f)
			if e.Code != test.code || e.Reason != test.reason || e.Message != test.text {
				t.Errorf("%q is %s %q", test.text, e.Code, e.Reason)
			}
			if e.Own() || code.Edge(e).Reason != "" {
				t.Errorf("%q is taken for an outcome of this host", test.text)
			}
			f.Metadata.Set(MetaCode, "NOT_FOUND")
			if e := ErrorOf(f); e.Code != code.NotFound || e.Reason != "" {
				t.Errorf("%q of a peer that says NOT_FOUND is %s %q", test.text, e.Code, e.Reason)
			}
		}
	}
}

// rpcx sends the reply with the error of a handler, which proves that the handler has run.
func TestATextWithAReplyProvesNothing(t *testing.T) {
	for text, want := range map[string]code.Code{
		"rpcx: can't find service Arith": code.Unimplemented, "invalid token": code.Unknown, "request reached rate limit": code.Unknown,
		"[service internal error]: boom, method: Mul": code.Internal,
	} {
		e := ErrorOf(&Frame{
			Type: Response, Status: StatusError, Service: "Arith", Method: "Mul", Payload: []byte(`{"C":0}`), Metadata: Metadata{{MetaError, text}},
		})
		if e.Code != want || code.NotRun(e.Reason) {
			t.Errorf("%q is %s %q", text, e.Code, e.Reason)
		}
	}
}

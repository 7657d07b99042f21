package wire

import (
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// foreign is a text by which peers that know no codes mean one: the whole of it, or how it begins and ends. Only a text in
// finders proves that the call was not run: a handler may pass on an error of its own client.
type foreign struct {
	whole, begin, end string
	code              code.Code
	reason            string
	public            string // what anybody may read of it; "" for all
	early             bool   // the server has it before it calls the handler
}

// foreignTexts are those of the servers of rpcx and the original easymicro, and those of the clients in their handlers.
var foreignTexts = []foreign{
	{whole: "request reached rate limit", code: code.ResourceExhausted, early: true}, // rpcx's plugins
	{whole: "invalid token", code: code.Unauthenticated, early: true},                // the AuthFunc of rpcx's examples
	{begin: "can not find codec for ", code: code.InvalidArgument, early: true},
	{begin: "reflect: call of reflect.Value.SetBytes on ", end: " Value", code: code.InvalidArgument, early: true}, // raw bytes for a struct
	{end: " is not a proto.Unmarshaler", code: code.InvalidArgument, early: true},
	{end: " is not a proto.Unmarshaler  or pb.Message", code: code.InvalidArgument, early: true},
	{end: " is not a proto.Marshaler", code: code.Internal, reason: code.ReasonBadReply},
	{end: " is not a proto.Marshaler or pb.Message", code: code.Internal, reason: code.ReasonBadReply},
	{begin: "[service internal error]: ", code: code.Internal, reason: code.ReasonPanic, public: "the handler panicked"}, // with its arguments and stack
	{whole: "http: Server closed", code: code.Unavailable},
	{end: "context deadline exceeded", code: code.DeadlineExceeded, reason: code.ReasonTimeout},
	{end: "context canceled", code: code.Cancelled, reason: code.ReasonCancelled},

	{whole: "connection is shut down", code: code.Unavailable},
	{whole: "connection is shutdown", code: code.Unavailable},
	{whole: "xClient is shut down", code: code.Unavailable},
	{whole: "can not found any server", code: code.Unavailable},
	{whole: "selected server is unavailable", code: code.Unavailable},
	{whole: "not avaliable worker node", code: code.Unavailable}, //nolint:misspell // as they spell it
	{whole: "no avaliable worker nodes", code: code.Unavailable}, //nolint:misspell // as they spell it
	{whole: "breaker open", code: code.Unavailable},
	{whole: "breaker time out", code: code.DeadlineExceeded},
	{whole: "request timeout", code: code.DeadlineExceeded},
}

// finders begin the texts of servers that have no such service or method, whose name follows.
var finders = []string{
	"rpcx: can't find service ", "rpcx: can't find method ",
	"easymicro: can't find service ", "easymicro: can't find method ",
	"rpc: can't find service ", "rpc: can't find method ", // net/rpc
}

// translate gives the error of a peer that knows no codes the one that its text means. called has the names that were
// called; ran says that a reply was sent along, which comes from a handler.
func translate(e *code.Error, called *Frame, ran bool) {
	for _, begin := range finders {
		if name, ok := strings.CutPrefix(e.Message, begin); ok {
			e.Code = code.Unimplemented
			if !ran && calledAs(name, called) {
				e.Reason = code.ReasonUnknownMethod
			}
			return
		}
	}
	for i := range foreignTexts {
		if t := &foreignTexts[i]; t.is(e.Message) && (!t.early || !ran) {
			e.Code, e.Reason = t.code, t.reason
			_ = e.InPublic(t.public)
			return
		}
	}
}

// calledAs reports whether what a server cannot find is what was called. Another name is that of a call which its handler
// made.
func calledAs(name string, f *Frame) bool {
	return name != "" && (name == f.Service || name == f.Method || name == f.Service+"."+f.Method || name == " for func raw function")
}

func (t *foreign) is(text string) bool {
	if t.whole != "" {
		return text == t.whole
	}
	rest, ok := strings.CutSuffix(text, t.end)
	if !ok || !strings.HasPrefix(text, t.begin) {
		return false
	}
	switch {
	case t.begin != "" || rest == "":
		return true
	case t.end[0] == ' ': // behind the name of a type
		return !strings.Contains(rest, " ")
	}
	return strings.HasSuffix(rest, ": ") // of an error that wraps it
}

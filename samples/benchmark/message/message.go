//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size message.proto

// Package message has the message that all contestants exchange, what a handler does with it, and how its reply is checked.
package message

import "errors"

// RequestBytes and ReplyBytes are the encoded sizes of a request and its reply.
const (
	RequestBytes = 581
	ReplyBytes   = 527
)

// A request has the same text and the same number in all of its fields.
const (
	text   = "fifty-four bytes of text, as in the rigs of the others"
	number = 100_000
)

const (
	replyText   = "OK"
	replyNumber = 100
)

var errReply = errors.New("not the reply to a request of the benchmark")

// Request returns a new request.
func Request() *BenchmarkMessage {
	return &BenchmarkMessage{
		Field1:   text,
		Field2:   number,
		Field3:   number,
		Field4:   text,
		Field6:   new(int32(number)),
		Field7:   text,
		Field9:   text,
		Field12:  new(true),
		Field13:  new(true),
		Field14:  new(true),
		Field16:  number,
		Field17:  new(true),
		Field18:  text,
		Field22:  number,
		Field23:  new(int32(number)),
		Field24:  new(true),
		Field25:  new(int32(number)),
		Field29:  new(int32(number)),
		Field30:  new(true),
		Field59:  new(true),
		Field60:  new(int32(number)),
		Field67:  new(int32(number)),
		Field68:  number,
		Field78:  true,
		Field80:  new(true),
		Field81:  new(true),
		Field100: new(int32(number)),
		Field101: new(int32(number)),
		Field102: text,
		Field103: text,
		Field104: new(int32(number)),
		Field128: new(int32(number)),
		Field129: new(string(text)),
		Field130: new(int32(number)),
		Field131: new(int32(number)),
		Field150: number,
		Field271: new(int32(number)),
		Field272: new(int32(number)),
		Field280: number,
	}
}

// Answer fills in a reply: the fields of the request, but for the first two. It shares what pointers of the request refer to.
func Answer(args, reply *BenchmarkMessage) {
	reply.Field1 = replyText
	reply.Field2 = replyNumber
	reply.Field3 = args.Field3
	reply.Field4 = args.Field4
	reply.Field5 = args.Field5
	reply.Field6 = args.Field6
	reply.Field7 = args.Field7
	reply.Field9 = args.Field9
	reply.Field12 = args.Field12
	reply.Field13 = args.Field13
	reply.Field14 = args.Field14
	reply.Field16 = args.Field16
	reply.Field17 = args.Field17
	reply.Field18 = args.Field18
	reply.Field22 = args.Field22
	reply.Field23 = args.Field23
	reply.Field24 = args.Field24
	reply.Field25 = args.Field25
	reply.Field29 = args.Field29
	reply.Field30 = args.Field30
	reply.Field59 = args.Field59
	reply.Field60 = args.Field60
	reply.Field67 = args.Field67
	reply.Field68 = args.Field68
	reply.Field78 = args.Field78
	reply.Field80 = args.Field80
	reply.Field81 = args.Field81
	reply.Field100 = args.Field100
	reply.Field101 = args.Field101
	reply.Field102 = args.Field102
	reply.Field103 = args.Field103
	reply.Field104 = args.Field104
	reply.Field128 = args.Field128
	reply.Field129 = args.Field129
	reply.Field130 = args.Field130
	reply.Field131 = args.Field131
	reply.Field150 = args.Field150
	reply.Field271 = args.Field271
	reply.Field272 = args.Field272
	reply.Field280 = args.Field280
}

// AnswerInPlace makes a request its own reply, for contestants whose handlers return a message.
func AnswerInPlace(m *BenchmarkMessage) {
	m.Field1 = replyText
	m.Field2 = replyNumber
}

// Check returns an error unless a message looks like a reply. It is cheap enough for every call.
func Check(reply *BenchmarkMessage) error {
	if reply.Field1 != replyText || reply.Field2 != replyNumber {
		return errReply
	}
	return nil
}

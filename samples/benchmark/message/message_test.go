package message_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/easymicro/easymicro/samples/benchmark/message"
)

func TestMessagesHaveTheSizesOfThePublicRigs(t *testing.T) {
	args := message.Request()
	if n := args.SizeVT(); n != message.RequestBytes {
		t.Errorf("a request has %d bytes, want %d", n, message.RequestBytes)
	}
	reply := new(message.BenchmarkMessage)
	message.Answer(args, reply)
	if err := message.Check(reply); err != nil || reply.SizeVT() != message.ReplyBytes {
		t.Errorf("a reply has %d bytes, want %d: %v", reply.SizeVT(), message.ReplyBytes, err)
	}
	message.AnswerInPlace(args)
	if !proto.Equal(args, reply) {
		t.Errorf("an answer in place is %v, want %v", args, reply)
	}
	if err := message.Check(message.Request()); err == nil {
		t.Error("a request passes for a reply")
	}
}

func TestBothEncodingsAreTheSame(t *testing.T) {
	want, err := message.Request().MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	again := new(message.BenchmarkMessage)
	if err := proto.Unmarshal(want, again); err != nil || !proto.Equal(again, message.Request()) {
		t.Errorf("decoded as %v, %v", again, err)
	}
}

// The message of the public rigs costs that many.
func TestDecodingMakes32Allocations(t *testing.T) {
	data, err := message.Request().MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var m message.BenchmarkMessage
	if n := testing.AllocsPerRun(100, func() { _ = m.UnmarshalVT(data) }); n != 32 {
		t.Errorf("%v allocations, want 32", n)
	}
}

func TestWorkIsParsed(t *testing.T) {
	for _, name := range []string{"echo", "spin:10", "sleep:1ns", "sleep:1ns:2"} {
		work, err := message.ParseWork(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		work()
	}
	for _, name := range []string{"", "echo:1", "spin", "spin:0", "spin:x", "sleep", "sleep:x", "sleep:-1s", "sleep:1s:0", "sleep:1s:x", "other"} {
		if _, err := message.ParseWork(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestOneCallInNSleeps(t *testing.T) {
	const pause = 20 * time.Millisecond
	work, err := message.ParseWork("sleep:" + pause.String() + ":4")
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for range 8 {
		begin := time.Now()
		work()
		if time.Since(begin) >= pause {
			slow++
		}
	}
	if slow < 2 {
		t.Errorf("%d of 8 calls slept, want 2", slow)
	}
}

func TestStepsFollowTheDuration(t *testing.T) {
	if short, long := message.StepsIn(time.Microsecond), message.StepsIn(time.Millisecond); short <= 0 || long < 100*short {
		t.Errorf("%d steps in 1µs, %d in 1ms", short, long)
	}
}

package main

import (
	"context"
	"net"
	"sync"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// runFunc serves a connection whose calls are multiplexed.
type runFunc func(c net.Conn, work message.Work) error

func serveMux(run runFunc) serveFunc {
	return func(ctx context.Context, s contestant.Site) error {
		return listen(ctx, s, func(c net.Conn) { _ = run(c, s.Work) })
	}
}

// onReader runs each call on the goroutine that reads, and writes the replies of what was read at once.
func onReader(c net.Conn, work message.Work) error {
	var args message.BenchmarkMessage
	return replyOnReader(c, func(dst []byte, id uint32, payload []byte) ([]byte, error) {
		return answer(dst, id, payload, &args, work)
	})
}

// bytesOnReader answers with constant bytes of the length of a reply.
func bytesOnReader(c net.Conn, work message.Work) error {
	reply := make([]byte, headerBytes+message.ReplyBytes)
	return replyOnReader(c, func(dst []byte, id uint32, _ []byte) ([]byte, error) {
		work()
		putHeader(reply, id)
		return append(dst, reply...), nil
	})
}

func replyOnReader(c net.Conn, reply func(dst []byte, id uint32, payload []byte) ([]byte, error)) error {
	var out []byte
	return readFrames(c, bigBuffer, func(id uint32, payload []byte) (err error) {
		out, err = reply(out, id, payload)
		return err
	}, func() error {
		if len(out) == 0 {
			return nil
		}
		_, err := c.Write(out)
		out = out[:0]
		return err
	})
}

// job is a call that is to be run beside the reader.
type job struct {
	id      uint32
	payload []byte
	args    message.BenchmarkMessage
}

var jobs = sync.Pool{New: func() any { return new(job) }}

func newJob(id uint32, payload []byte) *job {
	j := jobs.Get().(*job)
	j.id, j.payload = id, append(j.payload[:0], payload...)
	return j
}

func (j *job) run(out *outbox, work message.Work) {
	if err := j.args.UnmarshalVT(j.payload); err == nil {
		work()
		message.AnswerInPlace(&j.args)
		_ = out.add(func(dst []byte) ([]byte, error) { return appendFrame(dst, j.id, &j.args) })
	}
	jobs.Put(j)
}

// inGoroutine runs each call in a goroutine of its own.
func inGoroutine(c net.Conn, work message.Work) error {
	out := newOutbox(c)
	defer out.close()
	return readFrames(c, bigBuffer, func(id uint32, payload []byte) error {
		go newJob(id, payload).run(out, work)
		return nil
	}, func() error { return nil })
}

// workers is how many goroutines run the calls of a connection.
const workers = 32

// inWorker hands each call to one of the workers.
func inWorker(c net.Conn, work message.Work) error {
	out := newOutbox(c)
	defer out.close()
	waiting := make(chan *job, bigBuffer/(headerBytes+message.RequestBytes))
	defer close(waiting)
	for range workers {
		go func() {
			for j := range waiting {
				j.run(out, work)
			}
		}()
	}
	return readFrames(c, bigBuffer, func(id uint32, payload []byte) error {
		waiting <- newJob(id, payload)
		return nil
	}, func() error { return nil })
}

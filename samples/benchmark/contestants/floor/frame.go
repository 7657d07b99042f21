package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

type (
	serveFunc = func(context.Context, contestant.Site) error
	dialFunc  = func(context.Context, string) (contestant.Conn, error)
)

// A frame is a length of four bytes, an id of four bytes that its reply has too, and a payload of that length.
const headerBytes = 8

const maxPayload = 1 << 20

var errFrame = errors.New("no frame of the benchmark")

func putHeader(frame []byte, id uint32) {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-headerBytes))
	binary.BigEndian.PutUint32(frame[4:], id)
}

// appendFrame appends a message as a frame.
func appendFrame(dst []byte, id uint32, m *message.BenchmarkMessage) ([]byte, error) {
	size := headerBytes + m.SizeVT()
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	putHeader(dst[at:], id)
	_, err := m.MarshalToSizedBufferVT(dst[at+headerBytes:])
	return dst, err
}

// cutFrame takes the first frame off data; ok is false if it is not complete.
func cutFrame(data []byte) (id uint32, payload, rest []byte, ok bool, err error) {
	if len(data) < headerBytes {
		return 0, nil, data, false, nil
	}
	n := int(binary.BigEndian.Uint32(data))
	if n > maxPayload {
		return 0, nil, data, false, errFrame
	}
	if len(data) < headerBytes+n {
		return 0, nil, data, false, nil
	}
	return binary.BigEndian.Uint32(data[4:]), data[headerBytes : headerBytes+n], data[headerBytes+n:], true, nil
}

// readFrames reads src and calls each for the frames, which it must not keep, and flush after the frames of one read.
func readFrames(src io.Reader, bufferBytes int, each func(id uint32, payload []byte) error, flush func() error) error {
	buf := make([]byte, bufferBytes)
	used := 0
	for {
		n, err := src.Read(buf[used:])
		if err != nil {
			return err
		}
		rest := buf[:used+n]
		for {
			id, payload, more, ok, err := cutFrame(rest)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := each(id, payload); err != nil {
				return err
			}
			rest = more
		}
		used = copy(buf, rest)
		if used == len(buf) {
			return errFrame
		}
		if err := flush(); err != nil {
			return err
		}
	}
}

// answer appends the reply to a request.
func answer(dst []byte, id uint32, payload []byte, args *message.BenchmarkMessage, work message.Work) ([]byte, error) {
	if err := args.UnmarshalVT(payload); err != nil {
		return dst, err
	}
	work()
	message.AnswerInPlace(args)
	return appendFrame(dst, id, args)
}

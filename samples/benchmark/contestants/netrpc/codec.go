package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/rpc"

	"github.com/easymicro/easymicro/samples/benchmark/message"
)

const bufferBytes = 4 << 10

// codec frames messages: the sequence, the method, the error and the body, each but the first with its length before it.
type codec struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader
	out  *bufio.Writer
	body []byte // read, not yet decoded
	buf  []byte // of what is written
}

func newCodec(conn io.ReadWriteCloser) *codec {
	return &codec{conn: conn, in: bufio.NewReaderSize(conn, bufferBytes), out: bufio.NewWriterSize(conn, bufferBytes)}
}

// Close closes the connection.
func (c *codec) Close() error { return c.conn.Close() }

func (c *codec) write(seq uint64, method, failure string, body any) error {
	m, ok := body.(*message.BenchmarkMessage)
	if !ok && failure == "" {
		return fmt.Errorf("a message of type %T", body)
	}
	b := binary.AppendUvarint(c.buf[:0], seq)
	b = append(binary.AppendUvarint(b, uint64(len(method))), method...)
	b = append(binary.AppendUvarint(b, uint64(len(failure))), failure...)
	size := 0
	if ok {
		size = m.SizeVT()
	}
	b = binary.AppendUvarint(b, uint64(size))
	at := len(b)
	b = append(b, make([]byte, size)...)
	if ok {
		if _, err := m.MarshalToSizedBufferVT(b[at:]); err != nil {
			return err
		}
	}
	c.buf = b
	if _, err := c.out.Write(b); err != nil {
		return err
	}
	return c.out.Flush()
}

func (c *codec) read() (seq uint64, method, failure string, err error) {
	if seq, err = binary.ReadUvarint(c.in); err != nil {
		return 0, "", "", err
	}
	name, err1 := c.readPart(nil)
	method = string(name)
	text, err2 := c.readPart(nil)
	failure = string(text)
	body, err3 := c.readPart(c.body)
	c.body = body
	return seq, method, failure, errors.Join(err1, err2, err3)
}

// maxPart is more than any part of a message of the benchmark has.
const maxPart = 1 << 20

func (c *codec) readPart(into []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(c.in)
	if err != nil || n > maxPart {
		return into, errors.Join(err, errors.New("no part of a message"))
	}
	if uint64(cap(into)) < n {
		into = make([]byte, n)
	}
	_, err = io.ReadFull(c.in, into[:n])
	return into[:n], err
}

func (c *codec) decode(v any) error {
	if v == nil {
		return nil
	}
	m, ok := v.(*message.BenchmarkMessage)
	if !ok {
		return fmt.Errorf("a message of type %T", v)
	}
	return m.UnmarshalVT(c.body)
}

type serverCodec struct{ *codec }

func newServerCodec(conn io.ReadWriteCloser) rpc.ServerCodec { return serverCodec{newCodec(conn)} }

// ReadRequestHeader reads a request.
func (c serverCodec) ReadRequestHeader(r *rpc.Request) (err error) {
	r.Seq, r.ServiceMethod, _, err = c.read()
	return err
}

// ReadRequestBody decodes the request that was read.
func (c serverCodec) ReadRequestBody(v any) error { return c.decode(v) }

// WriteResponse writes a response.
func (c serverCodec) WriteResponse(r *rpc.Response, v any) error {
	return c.write(r.Seq, "", r.Error, v)
}

type clientCodec struct{ *codec }

func newClientCodec(conn io.ReadWriteCloser) rpc.ClientCodec { return clientCodec{newCodec(conn)} }

// WriteRequest writes a request.
func (c clientCodec) WriteRequest(r *rpc.Request, v any) error {
	return c.write(r.Seq, r.ServiceMethod, "", v)
}

// ReadResponseHeader reads a response.
func (c clientCodec) ReadResponseHeader(r *rpc.Response) (err error) {
	r.Seq, _, r.Error, err = c.read()
	return err
}

// ReadResponseBody decodes the response that was read.
func (c clientCodec) ReadResponseBody(v any) error { return c.decode(v) }

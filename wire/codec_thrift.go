package wire

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var (
	errNotThrift  = errors.New("the method takes or gives no thrift struct")
	errBadThrift  = errors.New("it is no thrift struct in the binary protocol")
	errThriftRest = errors.New("bytes follow the struct")
)

// thriftBuffer takes no more than fits into a frame.
type thriftBuffer struct {
	roomLeft
	thrift.TMemoryBuffer
}

// Write appends p.
func (b *thriftBuffer) Write(p []byte) (int, error) {
	if err := b.take(len(p)); err != nil {
		return 0, err
	}
	return b.TMemoryBuffer.Write(p)
}

// WriteByte appends c.
func (b *thriftBuffer) WriteByte(c byte) error {
	if err := b.take(1); err != nil {
		return err
	}
	return b.TMemoryBuffer.WriteByte(c)
}

// WriteString appends s.
func (b *thriftBuffer) WriteString(s string) (int, error) {
	if err := b.take(len(s)); err != nil {
		return 0, err
	}
	return b.TMemoryBuffer.WriteString(s)
}

// thriftProtocol is a binary protocol over a buffer, with the limits of what is being read.
type thriftProtocol struct {
	conf  thrift.TConfiguration
	trans thriftBuffer
	proto *thrift.TBinaryProtocol
	buf   bytes.Buffer
}

var thriftProtocols = sync.Pool{New: func() any {
	p := new(thriftProtocol)
	p.trans.Buffer = &p.buf
	p.proto = thrift.NewTBinaryProtocolConf(&p.trans, &p.conf)
	return p
}}

func (p *thriftProtocol) release() {
	p.buf = bytes.Buffer{}
	thriftProtocols.Put(p)
}

func appendThrift(dst []byte, v any) ([]byte, error) {
	s, ok := v.(thrift.TStruct)
	if !ok {
		return dst, errNotThrift
	}
	if err := codedEncodable.check(v); err != nil {
		return dst, err
	}
	p := thriftProtocols.Get().(*thriftProtocol)
	defer p.release()
	p.buf = *bytes.NewBuffer(dst)
	p.trans.roomLeft = maxPayload
	err := s.Write(context.Background(), p.proto)
	return p.buf.Bytes(), err
}

// decodeThrift decodes what has been walked, since generated code has no limit of depth. The limits of sizes are the length
// of data: nothing in it can be longer.
func decodeThrift(data []byte, v any) error {
	s, ok := v.(thrift.TStruct)
	if !ok {
		return errNotThrift
	}
	p := thriftProtocols.Get().(*thriftProtocol)
	defer p.release()
	p.conf.MaxMessageSize, p.conf.MaxFrameSize = int32(len(data)), int32(len(data))
	p.buf = *bytes.NewBuffer(data)
	if err := s.Read(context.Background(), p.proto); err != nil {
		return errNoFit
	}
	return nil
}

package wire

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var (
	errNotThrift  = errors.New("the method takes or gives no thrift struct")
	errBadThrift  = errors.New("it is no thrift struct in the binary protocol")
	errThriftRest = errors.New("bytes follow the struct")
)

// thriftProtocol is a binary protocol over a buffer, with the limits of what is being read.
type thriftProtocol struct {
	conf  thrift.TConfiguration
	trans thrift.TMemoryBuffer
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
	p := thriftProtocols.Get().(*thriftProtocol)
	defer p.release()
	p.buf = *bytes.NewBuffer(dst)
	err := s.Write(context.Background(), p.proto)
	return p.buf.Bytes(), err
}

// decodeThrift walks data before it is decoded, since generated code has no limit of depth. The limits of sizes are
// the length of data: nothing in it can be longer.
func decodeThrift(data []byte, v any) error {
	s, ok := v.(thrift.TStruct)
	if !ok {
		return errNotThrift
	}
	if len(data) > math.MaxInt32 {
		return errBadThrift
	}
	rest, err := skipThrift(data)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return errThriftRest
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

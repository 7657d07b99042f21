package contestant

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
)

// The request and the reply of the HTTP contestants: small, so that HTTP is measured and not JSON.
const (
	HTTPRequest = `{"a":73,"b":1500}`
	HTTPReply   = `{"c":109500}`
)

// Args is the request.
type Args struct {
	A int `json:"a"`
	B int `json:"b"`
}

// Reply is the reply.
type Reply struct {
	C int `json:"c"`
}

// DialHTTP returns the Dial of a contestant that answers POST requests to a path. It is leaner than net/http's client, which
// would take most of the machine.
func DialHTTP(path string) func(context.Context, string) (Conn, error) {
	return func(ctx context.Context, address string) (Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, address, len(HTTPRequest), HTTPRequest)
		return &httpConn{Conn: conn, in: bufio.NewReader(conn), request: []byte(request)}, nil
	}
}

// httpConn is a connection for one caller.
type httpConn struct {
	net.Conn
	in      *bufio.Reader
	request []byte
	body    [256]byte
}

// Caller returns a function that posts the request and reads the response.
func (c *httpConn) Caller() func() error { return c.post }

func (c *httpConn) post() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	length, err := c.readHead()
	if err != nil {
		return err
	}
	if length > len(c.body) {
		return fmt.Errorf("a response of %d bytes", length)
	}
	body := c.body[:length]
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	if !bytes.Equal(bytes.TrimSpace(body), []byte(HTTPReply)) {
		return fmt.Errorf("response %q, want %q", body, HTTPReply)
	}
	return nil
}

// readHead reads the head of a response and returns the length of its body.
func (c *httpConn) readHead() (length int, err error) {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("response %q", status)
	}
	length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("a response without Content-Length")
	}
	return length, nil
}

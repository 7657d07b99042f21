package gateway

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	maxBatch   = 100 // calls
	batchAhead = 10  // of these, calls that run at a time
)

// Error codes of JSON-RPC 2.0. Other errors of calls have rpcServerError minus the number of their code: UNAVAILABLE (14) is -32014.
const (
	rpcParseError     = -32700
	rpcInvalidRequest = -32600
	rpcNoMethod       = -32601
	rpcInvalidParams  = -32602
	rpcInternalError  = -32603
	rpcServerError    = -32000
)

// rpcRequest is a request object of JSON-RPC 2.0.
type rpcRequest struct {
	Version jsontext.Value `json:"jsonrpc"`
	Method  jsontext.Value `json:"method"`
	Params  jsontext.Value `json:"params"`
	ID      jsontext.Value `json:"id"` // nil: a notification
}

// rpcResponse is a response object.
type rpcResponse struct {
	Version string         `json:"jsonrpc"`
	Result  jsontext.Value `json:"result,omitzero"`
	Error   *rpcError      `json:"error,omitzero"`
	ID      jsontext.Value `json:"id"`
}

type rpcError struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Data    jsontext.Value `json:"data,omitzero"` // the members of an error of POST /{service}/{method}
}

// rpcData is what the body of an error has beside the members that HTTP needs.
type rpcData struct {
	Detail       string `json:"detail,omitzero"`
	Code         string `json:"code"`
	Reason       string `json:"reason,omitzero"`
	Rule         string `json:"rule,omitzero"`
	Service      string `json:"service,omitzero"`
	Method       string `json:"method,omitzero"`
	Host         string `json:"host,omitzero"`
	RetryAfterMS int64  `json:"retry_after_ms,omitzero"`
	TraceID      string `json:"trace_id,omitzero"`
}

// rpcExchange is an exchange of JSON-RPC 2.0.
type rpcExchange struct{ *exchange }

// serveRPC answers the requests of a body. Each of their calls is served as one of POST /{service}/{method} with the same headers,
// so that the same limits and rules apply.
func (x rpcExchange) serveRPC() *code.Error {
	if x.r.Method != http.MethodPost {
		x.w.Header().Set("Allow", "OPTIONS, POST")
		x.status = http.StatusMethodNotAllowed
		return x.refuse(code.Unimplemented, reasonMethodNotAllowed, x.r.Method+" is not allowed here: JSON-RPC is POST")
	}
	if e := x.namedByHeaders(); e != nil {
		return e
	}
	if e := x.readDeadline(); e != nil {
		return e
	}
	if e := x.enter(); e != nil {
		return e
	}
	if e := x.readCodec(); e != nil {
		return e
	}
	if x.codec != wire.JSON {
		return x.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "unsupported content type, use application/json")
	}
	a := argument{request: &x.request, payload: x.reqFrame.Payload[:0]}
	e := a.readBody()
	if x.reqFrame.Payload = a.payload; e != nil {
		return e
	}
	answer := x.answerRPC(a.payload)
	if answer == nil {
		return x.succeedEmpty(http.StatusNoContent)
	}
	s := x.response()
	return s.succeed(&wire.Frame{Payload: answer})
}

// namedByHeaders refuses headers that say how a call is made, which the body does.
func (x rpcExchange) namedByHeaders() *code.Error {
	f := familyOf(x.r.Header)
	if f == nil {
		return nil
	}
	for key, header := range f.keys {
		if key != famMeta && x.r.Header[header] != nil {
			return x.bad("the header " + header + " is not for JSON-RPC, whose body says what to call")
		}
	}
	return nil
}

// answerRPC returns the response to a body, nil if it has notifications only.
func (x rpcExchange) answerRPC(body []byte) []byte {
	one := func(r *rpcResponse) []byte {
		text, _ := json.Marshal(r) // valid values
		return text
	}
	value := jsontext.Value(body)
	if !value.IsValid() {
		return one(rpcFailure(nil, rpcParseError, "the body is not valid JSON"))
	}
	if value.Kind() != '[' {
		if r := x.callRPC(value, x.limits.MaxMessageBytes); r != nil {
			return one(r)
		}
		return nil
	}
	var batch []jsontext.Value
	switch err := json.Unmarshal(body, &batch); {
	case err != nil:
		return one(rpcFailure(nil, rpcParseError, "the body is not valid JSON"))
	case len(batch) == 0:
		return one(rpcFailure(nil, rpcInvalidRequest, "the batch is empty"))
	case len(batch) > maxBatch:
		return one(rpcFailure(nil, rpcInvalidRequest, "the batch has more than 100 requests"))
	}
	responses := make([]*rpcResponse, len(batch))
	turns := make(chan struct{}, batchAhead)
	var calls sync.WaitGroup
	for i, request := range batch {
		turns <- struct{}{}
		calls.Go(func() {
			defer func() {
				if v := recover(); v != nil { // of the gateway: handlers are contained already
					responses[i] = rpcFailure(nil, rpcInternalError, code.From(x.panicked(v)).Detail())
				}
				<-turns
			}()
			responses[i] = x.callRPC(request, x.limits.MaxMessageBytes/len(batch))
		})
	}
	calls.Wait()
	var answers [][]byte
	for _, r := range responses {
		if r != nil {
			answers = append(answers, one(r))
		}
	}
	if len(answers) == 0 {
		return nil
	}
	return append(append([]byte{'['}, bytes.Join(answers, []byte{','})...), ']')
}

func rpcFailure(id jsontext.Value, number int, message string) *rpcResponse {
	if id == nil {
		id = jsontext.Value("null")
	}
	return &rpcResponse{Version: "2.0", ID: id, Error: &rpcError{Code: number, Message: message}}
}

// callRPC makes the call of a request object, and returns its response; nil for a notification. limit bounds the bytes of the result.
func (x rpcExchange) callRPC(request jsontext.Value, limit int) *rpcResponse {
	var r rpcRequest
	if request.Kind() != '{' || json.Unmarshal(request, &r) != nil {
		return rpcFailure(nil, rpcInvalidRequest, "a request is an object, without duplicate members")
	}
	if k := r.ID.Kind(); r.ID != nil && k != '"' && k != '0' && k != 'n' {
		return rpcFailure(nil, rpcInvalidRequest, "id must be a string, a number or null")
	}
	var method string
	switch {
	case string(r.Version) != `"2.0"`:
		return rpcFailure(r.ID, rpcInvalidRequest, `jsonrpc must be "2.0"`)
	case r.Method.Kind() != '"' || json.Unmarshal(r.Method, &method) != nil:
		return rpcFailure(r.ID, rpcInvalidRequest, "method must be a string: Service.Method")
	}
	argument, ok := rpcArgument(r.Params)
	if !ok {
		return r.answer(rpcFailure(r.ID, rpcInvalidParams, "params must be an object, or a list with the argument alone"))
	}
	dot := strings.LastIndexByte(method, '.')
	if dot <= 0 || dot == len(method)-1 || strings.ContainsRune(method, '/') {
		return r.answer(rpcFailure(r.ID, rpcNoMethod, "method must be Service.Method"))
	}
	answer := x.callWithin(method[:dot], method[dot+1:], argument, r.ID == nil)
	return r.answer(answer.response(r.ID, limit))
}

// answer returns the response, or nil to a notification.
func (r *rpcRequest) answer(response *rpcResponse) *rpcResponse {
	if r.ID == nil {
		return nil
	}
	return response
}

// rpcArgument returns the argument of a call: methods have one.
func rpcArgument(params jsontext.Value) (jsontext.Value, bool) {
	switch params.Kind() {
	case '{':
		return params, true
	case '[':
		var list []jsontext.Value
		if json.Unmarshal(params, &list) == nil && len(list) == 1 {
			return list[0], true
		}
		return nil, false
	}
	return jsontext.Value("{}"), params == nil
}

// callWithin serves a call of a method as a request of its own.
func (x rpcExchange) callWithin(service, method string, argument jsontext.Value, oneWay bool) *rpcAnswer {
	r := x.r.Clone(x.r.Context())
	r.URL, r.RequestURI = &url.URL{Path: "/" + service + "/" + method}, ""
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = io.NopCloser(bytes.NewReader(argument)), int64(len(argument)), nil, nil
	r.Close = true // the connection goes on with the request around it
	for _, name := range []string{"Content-Encoding", "Content-Length", "Accept-Encoding"} {
		r.Header.Del(name)
	}
	r.Header["Content-Type"] = jsonMedia.reply
	if !x.deadline.IsZero() { // it may have waited for other calls of the batch
		for i := range timeouts {
			r.Header.Del(timeouts[i].header)
		}
		r.Header.Set("X-Request-Timeout", time.Until(x.deadline).String())
	}
	if oneWay {
		r.Header[easymicroFamily.keys[famOneWay]] = []string{"true"}
	}
	answer := &rpcAnswer{header: make(http.Header)}
	within := newExchange(x.g, answer, r)
	x.g.conclude(within, within.serveCall())
	return answer
}

// rpcAnswer receives the response to a call of a batch.
type rpcAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *rpcAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *rpcAnswer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *rpcAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// response turns the answer into a response object.
func (a *rpcAnswer) response(id jsontext.Value, limit int) *rpcResponse {
	text := jsontext.Value(bytes.TrimSpace(a.body.Bytes()))
	switch {
	case a.status < http.StatusMultipleChoices && len(text) > limit:
		return rpcFailure(id, rpcInternalError, "the result is too large for the batch: call the method alone")
	case a.status < http.StatusMultipleChoices && text.IsValid():
		return &rpcResponse{Version: "2.0", ID: id, Result: text}
	}
	var data rpcData
	if a.status < http.StatusMultipleChoices || json.Unmarshal(text, &data) != nil {
		return rpcFailure(id, rpcInternalError, "the result is not JSON")
	}
	failure := rpcFailure(id, rpcCodeOf(&data), data.Detail)
	data.Detail = ""
	failure.Error.Data, _ = json.Marshal(&data) // texts and numbers
	return failure
}

// rpcCodeOf returns the error code for an error of a call.
func rpcCodeOf(d *rpcData) int {
	c, _ := code.Parse(d.Code)
	switch {
	case d.Reason == code.ReasonUnknownMethod:
		return rpcNoMethod
	case c == code.InvalidArgument:
		return rpcInvalidParams
	case c == code.Internal:
		return rpcInternalError
	}
	return rpcServerError - int(c)
}

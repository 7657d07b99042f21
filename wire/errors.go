package wire

import (
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// maxErrorText keeps an error's text, which is sent twice, within the metadata that a client takes by default.
const maxErrorText = 24 << 10

// maxPublicText bounds what is sent beside it of an error that anybody may read.
const maxPublicText = 4 << 10

// maxRetryAfter bounds what a peer can make a client wait.
const maxRetryAfter = 24 * time.Hour

// SetError makes f the answer of a failed call: status, the text under both families' keys, and all else that e knows
// under ours. Metadata that is there stays, the payload goes. Texts above 24 KiB are cut.
func SetError(f *Frame, e *code.Error) {
	f.Status, f.Compression, f.Payload = StatusError, NoCompression, f.Payload[:0]
	text := errorText(e)
	m := &f.Metadata
	m.Set(MetaError, text)
	m.Set(MetaErrorEasymicro, text)
	m.Set(MetaCode, e.Code.String())
	setIfAny(m, MetaReason, e.Reason)
	setIfAny(m, MetaRule, e.Rule)
	setIfAny(m, MetaHost, e.Host)
	public := e.Public()
	if e.Reason == "" && e.Host == "" {
		public = e.Detail() // which the reader takes for the handler's own words
	}
	if public != e.Message {
		m.Set(MetaPublic, code.Clip(public, maxPublicText))
	} else {
		m.Del(MetaPublic)
	}
	if e.RetryAfter > 0 {
		up := e.RetryAfter + time.Millisecond - 1
		m.Set(MetaRetryAfter, strconv.FormatInt(up.Milliseconds(), 10))
	} else {
		m.Del(MetaRetryAfter)
	}
}

// errorText is never empty: a stock client takes a response without text for a success.
func errorText(e *code.Error) string {
	switch {
	case e.Message == "":
		return e.Code.String()
	case len(e.Message) <= maxErrorText:
		return e.Message // verbatim, whatever its bytes
	}
	return code.Clip(e.Message, maxErrorText)
}

func setIfAny(m *Metadata, key, value string) {
	if value == "" {
		m.Del(key)
		return
	}
	m.Set(key, value)
}

// ErrorOf returns the error that a response carries, or nil. It reads the text under either family's key. A peer that sends
// no code gets the code that its text means in rpcx; an unknown text or code is UNKNOWN. The error is marked as a peer's,
// see code.Edge.
func ErrorOf(f *Frame) *code.Error { return errorOf(f, f) }

// errorOf is ErrorOf for the response to a call; called has its names.
func errorOf(f, called *Frame) *code.Error {
	if f.Status == StatusNormal {
		return nil
	}
	e := &code.Error{
		Code:       code.Unknown,
		Reason:     f.Metadata.Get(MetaReason),
		Rule:       f.Metadata.Get(MetaRule),
		Host:       f.Metadata.Get(MetaHost),
		RetryAfter: retryAfter(f.Metadata.Get(MetaRetryAfter)),
	}
	if c, ok := code.Parse(f.Metadata.Get(MetaCode)); ok && c != code.OK {
		e.Code = c
	}
	for _, key := range []string{MetaError, MetaErrorEasymicro} {
		if e.Message = f.Metadata.Get(key); e.Message != "" {
			break
		}
	}
	e = code.Remote(e).InPublic(f.Metadata.Get(MetaPublic))
	if e.Message == "" {
		e.Message = "the peer reports an error without a text"
	} else if knowsNoCodes(f) {
		translate(e, called, len(f.Payload) > 0)
	}
	return e
}

// knowsNoCodes reports whether the peer sends its errors as text only.
func knowsNoCodes(f *Frame) bool {
	_, codes := f.Metadata.Lookup(MetaCode)
	return !codes
}

func retryAfter(ms string) time.Duration {
	n, err := strconv.ParseUint(ms, 10, 63)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, uint64(maxRetryAfter.Milliseconds()))) * time.Millisecond
}

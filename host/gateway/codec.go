package gateway

import (
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// media is a content type of requests, and what is answered in.
type media struct {
	codec wire.Codec
	reply []string // the value of the Content-Type header; shared, never written to
}

const jsonType = "application/json"

var jsonMedia = media{wire.JSON, []string{jsonType}}

// mediaTypes are all content types that name a codec. What `curl -d` calls its data is JSON here.
var mediaTypes = func() map[string]media {
	all := map[string]media{jsonType: jsonMedia, "application/x-www-form-urlencoded": jsonMedia}
	for c, types := range map[wire.Codec][]string{
		wire.Raw:      {"application/octet-stream"},
		wire.Protobuf: {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"},
		wire.Msgpack:  {"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"},
		wire.Thrift:   {"application/thrift", "application/x-thrift", "application/vnd.apache.thrift.binary"},
	} {
		for _, t := range types {
			all[t] = media{c, []string{t}}
		}
	}
	return all
}()

// replyTypes are the content types of codecs that were not named by one.
var replyTypes = map[wire.Codec][]string{
	wire.Raw: {"application/octet-stream"}, wire.JSON: jsonMedia.reply, wire.Protobuf: {"application/protobuf"},
	wire.Msgpack: {"application/msgpack"}, wire.Thrift: {"application/thrift"},
}

// readCodec finds the codec of the request, which is also the response's.
func (x *exchange) readCodec() *code.Error {
	if named, e := x.readSerializeType(); named {
		x.contentType = replyTypes[x.codec]
		return e
	}
	types := x.r.Header["Content-Type"]
	if len(types) == 0 || x.query {
		x.codec, x.contentType = wire.JSON, jsonMedia.reply
		return nil
	}
	m, ok := mediaTypes[types[0]]
	if !ok {
		m, ok = parseMedia(types[0])
	}
	if !ok || len(types) > 1 {
		x.w.Header().Set("Accept-Post", strings.Join(knownTypes(), ", "))
		return x.refuse(code.InvalidArgument, code.ReasonUnknownCodec,
			"the content type names no codec, use one of "+strings.Join(knownTypes(), ", "))
	}
	x.codec, x.contentType = m.codec, m.reply
	return nil
}

func parseMedia(contentType string) (media, bool) {
	if contentType == "" {
		return jsonMedia, true
	}
	name, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return media{}, false
	}
	m, ok := mediaTypes[name]
	if charset := params["charset"]; ok && m.codec == wire.JSON && charset != "" {
		ok = strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii")
	}
	return m, ok
}

func knownTypes() []string { return slices.Sorted(maps.Keys(mediaTypes)) }

// Package wire speaks the rpcx protocol: frames, codecs, compression, errors, the server and the calling connection.
package wire

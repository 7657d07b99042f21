// Package wire implements the rpcx protocol: frames, codecs, compression, errors, a server and client connections.
//
// # Metadata
//
// Stock peers know the keys __rpcx_error__, easymicro_error__, __AUTH and __ServerTimeout. Ours begin with x-em-. Those of an
// error are sent to all peers, and x-em-accept-compression by a Conn, which introduces itself with it. The others are sent only
// to peers that have sent one of ours:
//
//	x-em-accept-compression  compressions that the sender accepts: gzip, zstd or none, comma-separated
//	x-em-host                name of the host, in its introduction and its refusals
//	x-em-begun               in the answer to a heartbeat: the sequence of the last request that began to run; a Conn
//	                         knows from it which one-way requests to send elsewhere when the server drains
//	x-em-code, x-em-reason   code and reason of an error
//	x-em-rule                the rule that refused the call, as name@r42
//	x-em-retry-after-ms      when a retry may succeed
//	x-em-public              public text of an error, for HTTP callers, if it differs from the full text
//
// Two one-way requests are reserved by their service path: x-em-drain announces that a connection drains, and x-em-cancel
// cancels a call.
package wire

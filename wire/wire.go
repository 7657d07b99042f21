// Package wire speaks the rpcx protocol: frames, codecs, compression, errors, the server and the calling connection.
//
// # Metadata
//
// Stock peers know the keys __rpcx_error__, easymicro_error__, __AUTH and __ServerTimeout. Ours begin with x-em- and are
// sent only to peers that have sent one themselves, apart from x-em-accept-compression, by which a Conn introduces itself:
//
//	x-em-accept-compression  what the sender decompresses: gzip, zstd or none, comma separated
//	x-em-host                the host that answers: in its introduction, and in its refusals
//	x-em-begun               in the answer to a heartbeat: the sequence of the last request that began to run, by which a
//	                         Conn learns which one-way requests need not be sent elsewhere when the server drains
//	x-em-code, x-em-reason   code and reason of an error
//	x-em-rule                the rule that refused the call, as name@r42
//	x-em-retry-after-ms      when a retry may succeed
//	x-em-public              what HTTP callers may read of the error's text, if that is less than all of it
//
// Two one-way requests are reserved by their service path: x-em-drain announces that a connection drains, and x-em-cancel
// cancels a call.
package wire

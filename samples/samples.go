// Package samples registers the handlers of the samples in its subdirectories.
package samples

import (
	_ "github.com/easymicro/easymicro/samples/circuitbreaker" // circuitbreaker.stock
	_ "github.com/easymicro/easymicro/samples/discovery"      // discovery.echo
	_ "github.com/easymicro/easymicro/samples/error"          // error.orders
	_ "github.com/easymicro/easymicro/samples/fromrpcx"       // fromrpcx.arith
	_ "github.com/easymicro/easymicro/samples/lifecycle"      // lifecycle.journal
	_ "github.com/easymicro/easymicro/samples/metadata"       // metadata.greeter
	_ "github.com/easymicro/easymicro/samples/overload"       // overload.shop
	_ "github.com/easymicro/easymicro/samples/serialize"      // serialize.codecs
	_ "github.com/easymicro/easymicro/samples/timeout"        // timeout.reports
	_ "github.com/easymicro/easymicro/samples/tracing"        // tracing.cafe, tracing.kitchen
	_ "github.com/easymicro/easymicro/samples/upstream"       // upstream.shop, upstream.stock
)

// Command easymicro is the host with the handlers of the samples. A host with your own handlers is this file with other
// imports.
package main

import (
	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	_ "github.com/easymicro/easymicro/samples"
)

func main() { cli.Main() }

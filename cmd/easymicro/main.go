// Command easymicro is the host with the handlers of the samples. A host with handlers of your own is this file with
// another import.
package main

import (
	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	_ "github.com/easymicro/easymicro/samples"
)

func main() { cli.Main() }

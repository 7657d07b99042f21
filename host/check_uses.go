package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
)

// uses checks that a handler gets the clients that it asks for, and no others.
func (c *checker) uses(path string, cfg *config.Service, entry *registry.Entry) {
	for _, client := range slices.Sorted(maps.Keys(cfg.Uses)) {
		if slices.Contains(entry.Uses, client) {
			continue
		}
		asks := "asks for no clients"
		if len(entry.Uses) > 0 {
			asks = "asks for " + strings.Join(entry.Uses, ", ")
		}
		c.add(fmt.Sprintf("%s.uses.%s", path, client), config.Suggest(client, entry.Uses),
			"handler %s does not ask for a client %s: it %s", cfg.Handler, client, asks)
	}
	for _, client := range entry.Uses {
		if _, given := cfg.Uses[client]; !given {
			c.add(path+".uses", "", "handler %s asks for the client %s: say which upstream it is, as uses: {%s: UPSTREAM}", cfg.Handler, client, client)
		}
	}
}

// outgoing checks what is made of files: certificates, the operators' token, and the names that clusters are told.
func (c *checker) outgoing() {
	m := c.set.Manifest
	_, err := AdminToken(c.set)
	c.wrong(err)
	for i := range m.Upstreams {
		_, err := clientTLS(c.set, fmt.Sprintf("upstreams[%d].tls", i), m.Upstreams[i].TLS)
		c.wrong(err)
	}
	if m.Discovery == nil {
		return
	}
	for i, e := range m.Discovery.Etcd {
		path := fmt.Sprintf("discovery.etcd[%d]", i)
		_, err := clientTLS(c.set, path+".tls", e.TLS)
		c.wrong(err)
		_, err = secret(c.set, path+".usernameFile", e.UsernameFile)
		c.wrong(err)
		_, err = secret(c.set, path+".passwordFile", e.PasswordFile)
		c.wrong(err)
	}
}

// wrong adds the problems that an error is.
func (c *checker) wrong(err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		c.problems = append(c.problems, problems...)
	}
}

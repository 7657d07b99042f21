package etcd

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// label is what errors of the cluster begin with.
func (o *Options) label() string {
	if o.Name == "" {
		return "etcd"
	}
	return "etcd " + o.Name
}

// checkEndpoints refuses what the client of etcd would take for something else, as the manifest does. Errors show no more
// of an endpoint than its scheme and its host: there may be a password in it.
func (o *Options) checkEndpoints() error {
	if len(o.Endpoints) == 0 {
		return errors.New("no endpoints: name the URL of at least one member")
	}
	for _, text := range o.Endpoints {
		u, err := url.Parse(text)
		if err != nil || !strings.Contains(text, "://") {
			return fmt.Errorf("the endpoint %q is no URL, such as http://127.0.0.1:2379", withoutUser(text))
		}
		shown := u.Scheme + "://" + u.Host
		switch {
		case u.Scheme != "http" && u.Scheme != "https":
			return fmt.Errorf("the endpoint %s: etcd is reached by http:// or https://", shown)
		case u.User != nil:
			return fmt.Errorf("the endpoint %s has a user in it: Username and Password are for that", shown)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("the endpoint %s has more than host and port; the keys begin with Prefix", shown)
		case u.Hostname() == "":
			return fmt.Errorf("the endpoint %s has no host", shown)
		case u.Scheme == "http" && o.TLS != nil:
			return fmt.Errorf("the endpoint %s goes without TLS, though TLS is given: https://%s", shown, u.Host)
		}
	}
	return nil
}

// withoutUser is what is left to show of something that is no URL.
func withoutUser(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

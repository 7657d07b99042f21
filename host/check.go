package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Check returns the problems of a set for a host with the handlers of reg, without opening anything: those of the set
// itself unless it is checked already, and of its services, methods and options. Warnings are among them.
func Check(set *config.Set, reg *registry.Registry) config.Problems {
	c := runChecks(set, reg)
	c.outgoing()
	c.compile()
	return c.problems.Sort()
}

// RulesOf returns what policies.Compile needs to know of the host of a set: the methods that it serves, as far as the handlers
// of reg show them without being opened, and the options. all reports whether these are all methods.
func RulesOf(set *config.Set, reg *registry.Registry) (methods []policies.Target, all bool, o policies.Options) {
	c := &checker{set: set, registry: reg, targets: make(map[policies.Target]gateway.Target)}
	c.services()
	return c.known, !c.unknown, compileOptions(set, hostName(set))
}

// runChecks runs the checks that planning does not repeat: the parts read the files of credentials and compile the rules.
func runChecks(set *config.Set, reg *registry.Registry) *checker {
	c := &checker{set: set, registry: reg, targets: make(map[policies.Target]gateway.Target)}
	c.problems = append(c.problems, set.Warnings...)
	if !set.Checked() {
		c.problems = append(c.problems, set.Validate()...)
	}
	c.problems = append(c.problems, set.WarnCertificates(time.Now())...)
	c.memory()
	c.services()
	c.interceptors()
	c.gateway()
	c.problems = append(c.problems, policies.ValidateTies(set.Rules)...)
	c.problems = append(c.problems, policies.ValidatePointless(set.Rules)...)
	return c
}

type checker struct {
	set      *config.Set
	registry *registry.Registry
	problems config.Problems
	known    []policies.Target                  // methods that are known without opening
	targets  map[policies.Target]gateway.Target // the same, under all names of their services
	unknown  bool                               // some are not
	warned   []string                           // handlers whose methods are looked at already
}

func (c *checker) add(as lint.Code, path, suggestion, format string, args ...any) {
	p := c.set.ProblemAt(path, fmt.Sprintf(format, args...))[0].Coded(as)
	p.Suggestion = suggestion
	c.problems = append(c.problems, p)
}

// memory warns of settings that the environment overrides.
func (c *checker) memory() {
	for _, s := range []struct {
		field, variable string
		set             bool
	}{
		{"host.memory.minHeap", "GOGC", machine.HasGCPercent()},
		{"host.memory.limit", "GOMEMLIMIT", machine.HasMemoryLimit()},
	} {
		if s.set && c.set.Manifest.Written(s.field) {
			c.add(lint.Overridden, s.field, "", "has no effect: %s is set in the environment", s.variable)
		}
	}
}

func (c *checker) services() {
	for i := range c.set.Manifest.Services {
		cfg := &c.set.Manifest.Services[i]
		if cfg.Handler == "" {
			continue // reported as missing already
		}
		path := fmt.Sprintf("services[%d]", i)
		entry, ok := c.registry.Lookup(cfg.Handler)
		if !ok {
			c.add(lint.NoSuchHandler, path+".handler", config.Suggest(cfg.Handler, entryNames(c.registry.Entries())),
				"handler %q is not compiled in; easymicro handlers lists the available ones", cfg.Handler)
			c.unknown = true
			continue
		}
		c.options(path, cfg.Options, entry, configured(cfg, entry))
		c.methods(path, cfg, entry)
		c.uses(path, cfg, entry)
	}
}

func entryNames(entries []*registry.Entry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// options checks the options of a handler or an interceptor, and adds what its own checks find.
func (c *checker) options(path string, options config.RawOptions, entry *registry.Entry, s registry.Configured) {
	if !options.IsZero() && entry.Options == nil {
		c.add(lint.BadOptions, path+".options", "", "%s %s takes no options", entry.Kind(), entry.Name)
		return
	}
	o, err := entry.DecodeOptions(optionsDecoder(options))
	c.wrong(lint.BadOptions, path+".options", err)
	if err != nil {
		return
	}
	entry.Check(s, o, func(check string, f registry.Finding) {
		whole, message := path, code.Clip(f.Message, maxFinding)
		if f.Path != "" {
			whole += "." + f.Path
		}
		at := c.set.Manifest.Position(whole)
		if option, ok := strings.CutPrefix(f.Path, "options."); ok && !options.IsZero() {
			at = options.At(option)
		}
		c.problems = append(c.problems, at.Problem(whole, message).Coded(lint.Code(entry.Name+"/"+check)))
	})
}

// configured returns what the checks of a handler get.
func configured(cfg *config.Service, entry *registry.Entry) registry.Configured {
	s := registry.Configured{Service: cfg.Name, Aliases: slices.Clone(cfg.Aliases), Metadata: maps.Clone(cfg.Metadata), Uses: maps.Clone(cfg.Uses)}
	for _, m := range entry.Methods {
		if route.Exposed(cfg, m.Name) {
			s.Methods = append(s.Methods, m.Name)
		}
	}
	return s
}

// interceptors checks the interceptors that the manifest names.
func (c *checker) interceptors() {
	for _, p := range c.set.Manifest.AroundPlaces() {
		for i := range p.List {
			path, name := fmt.Sprintf("%s[%d]", p.Path, i), p.List[i].Name
			if name == "" {
				continue // reported as missing already
			}
			entry, ok := c.registry.Interceptor(name)
			if ok {
				c.options(path, p.List[i].Options, entry, registry.Configured{Service: p.Service + p.Upstream})
				continue
			}
			c.add(lint.NoSuchHandler, path+".name", config.Suggest(name, entryNames(c.registry.Interceptors())),
				"interceptor %q is not compiled in; easymicro handlers lists the available ones", name)
		}
	}
}

// maxFinding bounds the message of a check of a handler or an interceptor.
const maxFinding = 1000

func (c *checker) methods(path string, cfg *config.Service, entry *registry.Entry) {
	if entry.Methods == nil {
		c.unknown = true
		return
	}
	for _, m := range entry.Methods {
		if !route.Exposed(cfg, m.Name) {
			continue
		}
		t := policies.Target{Service: cfg.Name, Method: m.Name}
		c.known = append(c.known, t)
		for _, name := range append([]string{cfg.Name}, cfg.Aliases...) {
			c.targets[policies.Target{Service: name, Method: m.Name}] = gateway.Target{Service: cfg.Name, Method: m.Name, Args: m.Args}
		}
	}
	c.exposed(path, cfg, methodNames(entry.Methods), entry.Skipped)
	c.missed(path, cfg, entry, entry.Methods, entry.Skipped)
}

func methodNames(methods []*registry.Method) []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.Name
	}
	return names
}

func (c *checker) exposed(path string, cfg *config.Service, names []string, skipped []registry.Skipped) {
	for i, name := range cfg.Methods.Expose {
		if slices.Contains(names, name) {
			continue
		}
		c.add(lint.NoSuchMethod, fmt.Sprintf("%s.methods.expose[%d]", path, i), config.Suggest(name, names),
			"handler %s has no method %q%s", cfg.Handler, name, route.WhySkipped(skipped, name))
	}
}

// missed warns of methods that look as if they were meant to be served, unless methods.expose lists those that are.
func (c *checker) missed(path string, cfg *config.Service, entry *registry.Entry, served []*registry.Method, skipped []registry.Skipped) {
	if len(cfg.Methods.Expose) > 0 || slices.Contains(c.warned, cfg.Handler) {
		return
	}
	c.warned = append(c.warned, cfg.Handler)
	for _, m := range served {
		if why := wire.WhyNotProtobuf(m.Args, m.Reply); why != "" {
			c.add(lint.NotServed, path+".handler", "", "method %s of handler %s cannot be called with protobuf: %s", m.Name, cfg.Handler, why)
		}
	}
	for _, s := range entry.Missed(served, skipped) {
		c.add(lint.NotServed, path+".handler", "", "handler %s does not serve its method %s; to serve it, write "+
			"func(ctx context.Context, args *Args, reply *Reply) error; if it is not meant to be served, unexport it, "+
			"or list the others in methods.expose", cfg.Handler, s)
	}
}

// compile compiles the rules for the methods that are known, to find rules that match nothing.
func (c *checker) compile() {
	if c.unknown || c.problems.Err() != nil {
		return
	}
	snapshot, err := policies.Compile(c.set.Rules, c.known, nil, compileOptions(c.set, hostName(c.set)))
	if err != nil {
		c.wrong(lint.BadSetting, "policies", err)
		return
	}
	c.problems = append(c.problems, snapshot.Unmatched()...)
	if !machine.HasCPU() {
		c.problems = append(c.problems, unmeasured(c.set.Rules)...)
	}
	c.problems = append(c.problems, (&config.Edit{Next: c.set, Targets: targetsOf(c.known)}).Judge()...)
}

// unmeasured warns of rules that need the CPU utilization, on a system where it cannot be measured.
func unmeasured(rules []config.Rule) (problems config.Problems) {
	for i := range rules {
		if r := &rules[i]; r.Shed != nil && r.Mode != config.Off {
			p := r.Position("shed").Problem(r.Path()+".shed", "has no effect on this system: its CPU utilization cannot be measured")
			problems = append(problems, p.Coded(lint.NoEffect))
		}
	}
	return problems
}

// gateway checks that the targets of HTTP routes exist.
func (c *checker) gateway() {
	for i, r := range c.set.Manifest.Gateway.Routes {
		path := fmt.Sprintf("gateway.routes[%d]", i)
		c.target(path+".service", path+".method", r.Service, r.Method)
	}
	for i, name := range c.set.Manifest.Gateway.Get {
		path := fmt.Sprintf("gateway.get[%d]", i)
		service, method := splitMethod(name)
		c.target(path, path, service, method)
	}
	c.wrong(lint.BadSetting, "gateway.metadata", gatewayError(c.set, gateway.CheckMetadata(c.set.Manifest.Gateway.Metadata)))
	if c.unknown || c.problems.Err() != nil {
		return
	}
	o := gatewayOptions(c.set.Manifest)
	o.Resolve = func(service, method string) (gateway.Target, bool) {
		t, ok := c.targets[policies.Target{Service: service, Method: method}]
		return t, ok
	}
	o.Remote = route.RemoteServices(c.set.Manifest)
	_, err := gateway.New(o)
	c.wrong(lint.BadSetting, "gateway", gatewayError(c.set, err))
}

func (c *checker) target(servicePath, methodPath, service, method string) {
	var services []string
	for i := range c.set.Manifest.Services {
		cfg := &c.set.Manifest.Services[i]
		services = append(services, cfg.Name)
		if cfg.Name != service && !slices.Contains(cfg.Aliases, service) {
			continue
		}
		entry, ok := c.registry.Lookup(cfg.Handler)
		if !ok || entry.Methods == nil {
			return
		}
		switch methods := methodNames(entry.Methods); {
		case !slices.Contains(methods, method):
			c.add(lint.NoSuchMethod, methodPath, config.Suggest(method, methods),
				"service %s has no method %q%s", service, method, route.WhySkipped(entry.Skipped, method))
		case !route.Exposed(cfg, method):
			c.add(lint.NoSuchMethod, methodPath, "", "method %s of service %s is not among methods.expose", method, service)
		}
		return
	}
	if remote := route.RemoteServices(c.set.Manifest); remote != nil && remote(service) {
		return
	}
	c.add(lint.NoSuchName, servicePath, config.Suggest(service, services), "no service %q in services", service)
}

// opened checks the methods of handlers that are known only once they are open.
func (c *checker) opened(path string, cfg *config.Service, inst *instance) config.Problems {
	c.problems = nil
	served, skipped := inst.service.Methods(), inst.service.Skipped()
	if inst.entry.Methods == nil {
		c.exposed(path, cfg, methodNames(served), skipped)
	}
	if len(inst.entry.Skipped) == 0 {
		c.missed(path, cfg, inst.entry, served, skipped)
	}
	return c.problems
}

// splitMethod splits Service.Method; names of services may have dots.
func splitMethod(name string) (service, method string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// uses checks that a handler gets the clients that it uses, and no others.
func (c *checker) uses(path string, cfg *config.Service, entry *registry.Entry) {
	for _, client := range slices.Sorted(maps.Keys(cfg.Uses)) {
		if slices.Contains(entry.Uses, client) {
			continue
		}
		used := "uses none"
		if len(entry.Uses) > 0 {
			used = "uses " + strings.Join(entry.Uses, ", ")
		}
		c.add(lint.NoSuchName, fmt.Sprintf("%s.uses.%s", path, client), config.Suggest(client, entry.Uses),
			"handler %s does not use a client %s: it %s", cfg.Handler, client, used)
	}
	for _, client := range entry.Uses {
		if _, given := cfg.Uses[client]; !given {
			c.add(lint.NeedsOther, path+".uses", "", "handler %s uses a client %s: name its upstream, as in uses: {%s: UPSTREAM}", cfg.Handler, client, client)
		}
	}
}

// outgoing checks the files that the manifest names: certificates, the admin token and credentials of clusters.
func (c *checker) outgoing() {
	m := c.set.Manifest
	_, err := AdminToken(c.set)
	c.wrong(lint.BadContent, "admin.tokenFile", err)
	if m.Auth.JWT != nil && m.Auth.JWT.JWKSFile != "" {
		_, _, err := credentials.Keys(c.set, nil)
		c.wrong(lint.BadContent, "auth.jwt.jwksFile", err)
	}
	for _, t := range m.ServerTLS() {
		_, _, err := credentials.ServerTLS(c.set, t, nil)
		c.wrong(lint.BadContent, t.Path, err)
	}
	for _, t := range m.OutgoingTLS() {
		_, err := credentials.ClientTLS(c.set, t.Path, t.ClientTLS)
		c.wrong(lint.BadContent, t.Path, err)
	}
	for i, e := range m.Clusters() {
		path := fmt.Sprintf("discovery.etcd[%d]", i)
		_, err := credentials.Secret(c.set, path+".usernameFile", e.UsernameFile)
		c.wrong(lint.BadContent, path+".usernameFile", err)
		_, err = credentials.Secret(c.set, path+".passwordFile", e.PasswordFile)
		c.wrong(lint.BadContent, path+".passwordFile", err)
	}
}

// wrong adds an error of a field, or the problems that it has. Those without a code get this one.
func (c *checker) wrong(as lint.Code, path string, err error) {
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			if p.Code == "" {
				p = p.Coded(as)
			}
			c.problems = append(c.problems, p)
		}
	case err != nil:
		c.add(as, path, "", "%v", err)
	}
}

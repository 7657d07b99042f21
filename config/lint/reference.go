package lint

// Codes about names and settings that do not go together.
const (
	NameTaken       Code = "EM201"
	NoSuchName      Code = "EM202"
	NoSuchHandler   Code = "EM203"
	NoSuchMethod    Code = "EM204"
	NeedsOther      Code = "EM205"
	Conflicting     Code = "EM206"
	BadSetting      Code = "EM207"
	BadOptions      Code = "EM208"
	AddressTaken    Code = "EM209"
	Tie             Code = "EM210"
	NotKept         Code = "EM211"
	BadContent      Code = "EM212"
	NoFile          Code = "EM213"
	Empty           Code = "EM214"
	MatchesNothing  Code = "EM220"
	NoSuchCaller    Code = "EM221"
	Unused          Code = "EM222"
	FileNotRead     Code = "EM223"
	UnknownVariable Code = "EM224"
	NotServed       Code = "EM225"
	NotThereYet     Code = "EM226"
	CaseOnly        Code = "EM227"
	Unmapped        Code = "EM228"
	NoAddress       Code = "EM229"
	NotIdempotent   Code = "EM230"
	NothingServed   Code = "EM231"
)

var referencePages = []Page{
	{
		Code: NameTaken, Title: "a name is taken",
		Text: "A name or an element of a list is used twice. Rules keep their state by name, so names are unique in the whole set.",
		Fix:  "Rename or remove one of them.",
		Bad: "rules:\n  - {name: slow, match: {service: Arith, method: Mul}, timeout: 1s}\n" +
			"  - {name: slow, match: {service: Arith, method: Div}, timeout: 1s}",
		Good: "rules:\n  - {name: slow-mul, match: {service: Arith, method: Mul}, timeout: 1s}\n" +
			"  - {name: slow-div, match: {service: Arith, method: Div}, timeout: 1s}",
	},
	{
		Code: NoSuchName, Title: "the manifest has no such name",
		Text: "A setting names a service, an upstream, an etcd cluster or a claim of callers that the manifest does not have.",
		Fix:  "Correct the name, or add what it names.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\ngateway: {get: [Arit.Mul]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\ngateway: {get: [Arith.Mul]}",
	},
	{
		Code: NoSuchHandler, Title: "no such handler",
		Text: "No handler of this name is compiled into this binary.",
		Fix:  "Correct the name: `easymicro handlers` lists the handlers. Or build a binary with the handler.",
		Bad:  "services: [{name: Arith, handler: samples.arit}]",
		Good: "services: [{name: Arith, handler: samples.arith}]",
	},
	{
		Code: NoSuchMethod, Title: "no such method",
		Text: "The handler does not have the method, or the service does not expose it.",
		Fix:  "Correct the name: `easymicro handlers NAME` lists the methods.",
		Bad:  "services: [{name: Arith, handler: samples.arith, methods: {expose: [Mull]}}]",
		Good: "services: [{name: Arith, handler: samples.arith, methods: {expose: [Mul]}}]",
	},
	{
		Code: NeedsOther, Title: "another setting is needed",
		Text: "The setting does not work without another one.",
		Fix:  "Add the setting that the message names.",
		Bad:  "rules: [{name: stop, match: {service: Arith}, circuitBreaker: {slowCallRate: 50%}}]",
		Good: "rules: [{name: stop, match: {service: Arith}, circuitBreaker: {slowCallRate: 50%, slowCallDuration: 1s}}]",
	},
	{
		Code: Conflicting, Title: "settings that exclude each other",
		Text: "Two settings exclude each other, or a rule for incoming calls has a kind or a field for outgoing ones, or the reverse.",
		Fix:  "Remove one of them. match.upstream makes a rule one for outgoing calls.",
		Bad:  "rules: [{name: again, match: {service: Arith}, retry: {maxAttempts: 3}}]",
		Good: "rules: [{name: again, match: {upstream: billing}, retry: {maxAttempts: 3}}]",
	},
	{
		Code: BadSetting, Title: "an invalid setting",
		Text: "The value cannot be used for this setting: an invalid address, a path that cannot be requested, an unclosed pattern.",
		Fix:  "Write the value as the message says.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\ngateway: {get: [Arith/Mul]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\ngateway: {get: [Arith.Mul]}",
	},
	{
		Code: BadOptions, Title: "invalid options of a handler",
		Text: "The handler has no such option, or does not accept the value.",
		Fix:  "Correct it: `easymicro handlers NAME` lists the options.",
		Bad:  "services: [{name: Arith, handler: samples.arith, options: {speed: 9}}]",
		Good: "services: [{name: Arith, handler: samples.arith}]",
	},
	{
		Code: AddressTaken, Title: "an address is taken",
		Text: "Two listeners of the host have the same address.",
		Fix:  "Change one of the ports.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nlisteners: [{name: main, address: 127.0.0.1:8970}]\nadmin: {address: 127.0.0.1:8970}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nlisteners: [{name: main, address: 127.0.0.1:8972}]\nadmin: {address: 127.0.0.1:8970}",
	},
	{
		Code: Tie, Title: "rules tie",
		Text: "Two enforced rules are equally specific and match the same calls, but only one of them can apply: two timeouts, or two breakers.",
		Fix:  "Narrow one, exclude calls from one with match.except, or set one to mode: shadow.",
		Bad:  "rules:\n  - {name: a, match: {service: Arith}, timeout: 1s}\n  - {name: b, match: {service: Arith}, timeout: 2s}",
		Good: "rules:\n  - {name: a, match: {service: Arith}, timeout: 1s}\n  - {name: b, match: {service: Arith, method: Mul}, timeout: 2s}",
	},
	{
		Code: NotKept, Title: "a rule that must be kept",
		Text: "policies.keep names a rule that is missing, not enforced for all callers, expired, or without a method to match.",
		Fix:  "Restore the rule, or take its name out of policies.keep in an edit of its own.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {keep: [only-web], files: [policies.yaml]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\n" +
			"policies: {keep: [only-web], rules: [{name: only-web, match: {service: Arith}, access: {deny: [{caller: x}]}}]}",
	},
	{
		Code: BadContent, Title: "a file with unusable content",
		Text: "A certificate, key, token or password file does not contain what its setting requires.",
		Fix:  "Replace the file.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nadmin: {tokenFile: empty.txt}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nadmin: {tokenFile: token.txt}",
	},
	{
		Code: NoFile, Title: "a pattern matches no file",
		Text: "No file matches a pattern, or a folder cannot be listed. Unreadable is not empty.",
		Fix:  "Correct the pattern. policies.allowEmpty: true allows patterns that match nothing.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [\"none-*.yaml\"]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [\"none-*.yaml\"], allowEmpty: true}",
	},
	{
		Code: Empty, Title: "empty, so without effect",
		Text: "A rule, a list or a block is empty and would do nothing, or the opposite of what a reader expects.",
		Fix:  "Complete it, or leave it out.",
		Bad:  "rules: [{name: idle, match: {service: Arith}}]",
		Good: "rules: [{name: idle, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: MatchesNothing, Title: "a rule matches nothing here", Warning: true,
		Text: "No service, method or upstream of this host matches. In files that a fleet shares this is legal.",
		Fix:  "Correct the name, or ignore the warning in files that are shared.",
		Bad:  "rules: [{name: slow, match: {service: Aritth}, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: NoSuchCaller, Title: "a caller that no token names", Warning: true,
		Text: "Callers are identified by tokens alone, and no token has this caller, so it matches no call.",
		Fix:  "Correct the name, or add the token.",
		Bad:  "rules: [{name: slow, match: {service: Arith, caller: wbe}, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: Arith, caller: web}, timeout: 1s}]",
	},
	{
		Code: Unused, Title: "defined but not used", Warning: true,
		Text: "An upstream that no service uses, or tokens that auth.identify does not ask for.",
		Fix:  "Use it, or remove it.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nauth: {tokens: {file: tokens.yaml}}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nauth: {identify: [token], tokens: {file: tokens.yaml}}",
	},
	{
		Code: FileNotRead, Title: "a file is not read", Warning: true,
		Text: "A file beside the policy files has another suffix (.yml for .yaml), so that no pattern matches it.",
		Fix:  "Rename it, or add a pattern.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [\"other/*.yaml\"]} # other/ has a.yaml and b.yml",
		Good: "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [\"other/*.yaml\", \"other/*.yml\"]}",
	},
	{
		Code: UnknownVariable, Title: "an unknown variable", Warning: true,
		Text: "The environment has a variable that begins with EASYMICRO_, and neither easymicro nor a file uses it.",
		Fix:  "Correct its name.",
		Bad:  "services: [{name: Arith, handler: samples.arith}] # in an environment with EASYMICRO_LISTN=:8080",
		Good: "services: [{name: Arith, handler: samples.arith}] # in an environment with EASYMICRO_LISTEN=:8080",
	},
	{
		Code: NotServed, Title: "a method is not served", Warning: true,
		Text: "The handler has a method that takes a context, but has another signature, or types that a codec cannot write.",
		Fix:  "Correct the signature, unexport the method, or list the others in methods.expose.",
		Bad:  "services: [{name: Missed, handler: test.missed}]",
		Good: "services: [{name: Missed, handler: test.missed, methods: {expose: [Served]}}]",
	},
	{
		Code: NotThereYet, Title: "a file does not exist yet", Warning: true,
		Text: "A file of endpoints does not exist. It is watched, and nothing can be called until it does.",
		Fix:  "Correct the path, or create the file.",
		Bad: "services: [{name: Orders, handler: test.orders, uses: {billing: billing}}]\n" +
			"upstreams: [{name: billing, service: Billing, resolve: {file: no-such-nodes.yaml}}]",
		Good: "services: [{name: Orders, handler: test.orders, uses: {billing: billing}}]\n" +
			"upstreams: [{name: billing, service: Billing, resolve: {file: nodes.yaml}}]",
	},
	{
		Code: CaseOnly, Title: "names that differ by case only", Warning: true,
		Text: "Callers that write names in lower case, as easymicro 2019 did, reach neither of the services.",
		Fix:  "Rename one of them.",
		Bad:  "services: [{name: Arith, handler: samples.arith}, {name: ARITH, handler: samples.arith}]",
		Good: "services: [{name: Arith, handler: samples.arith}, {name: Maths, handler: samples.arith}]",
	},
	{
		Code: Unmapped, Title: "metadata that HTTP callers cannot send", Warning: true,
		Text: "A rule uses metadata that no HTTP header maps to. Calls over HTTP then share one bucket, or are refused.",
		Fix:  "Map a header in gateway.metadata.",
		Bad:  "rules: [{name: each, match: {service: Arith}, rateLimit: {rate: 5, key: metadata.tenant}}]",
		Good: "rules: [{name: each, match: {service: Arith}, rateLimit: {rate: 5, key: metadata.traceparent}}]",
	},
	{
		Code: NoAddress, Title: "callers without an address", Warning: true,
		Text: "A rule uses peer, and callers of a unix listener have no address, so that they match no network and share one bucket.",
		Fix:  "List unix in auth.trustedProxies, so that X-Forwarded-For identifies them, or use the caller.",
		Bad: "services: [{name: Arith, handler: samples.arith}]\nlisteners: [{name: local, address: \"unix://arith.sock\"}]\n" +
			"policies: {rules: [{name: each, match: {service: Arith}, rateLimit: {rate: 5, key: peer}}]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nlisteners: [{name: local, address: \"unix://arith.sock\"}]\n" +
			"auth: {trustedProxies: [unix]}\npolicies: {rules: [{name: each, match: {service: Arith}, rateLimit: {rate: 5, key: peer}}]}",
	},
	{
		Code: NotIdempotent, Title: "a retry of methods that are not idempotent", Warning: true,
		Text: "A rule retries or hedges calls of methods that the upstream does not list as idempotent. Such calls are sent again only if they provably never ran.",
		Fix:  "List the methods that may run twice under idempotent of the upstream, and only these.",
		Bad:  "rules: [{name: twice, match: {upstream: billing}, hedge: {delay: 80ms, maxAttempts: 2, methods: [Pay]}}]",
		Good: "rules: [{name: twice, match: {upstream: billing}, hedge: {delay: 80ms, maxAttempts: 2, methods: [GetInvoice]}}]",
	},
	{
		Code: NothingServed, Title: "nothing is served", Warning: true,
		Text: "The manifest has no services and no gateway for remote ones.",
		Fix:  "Add a service.",
		Bad:  "services: []",
		Good: "services: [{name: Arith, handler: samples.arith}]",
	},
}

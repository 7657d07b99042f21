package lint

// Codes about danger.
const (
	RefusesAll     Code = "EM401"
	Wider          Code = "EM402"
	WiderRefused   Code = "EM403"
	OpenAdmin      Code = "EM404"
	Unreachable    Code = "EM405"
	Overridden     Code = "EM406"
	StandIn        Code = "EM407"
	Lost           Code = "EM408"
	NobodyOperates Code = "EM409"
)

var dangerPages = []Page{
	{
		Code: RefusesAll, Title: "without identity every caller is anonymous", Warning: true,
		Text: "A rule names callers, but auth.identify is not set, so that every caller is anonymous: an access list refuses every call, another rule matches none.",
		Fix:  "Set auth.identify, or name no callers.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {rules: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n" +
			"policies: {rules: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}]}",
	},
	{
		Code: Wider, Title: "an edit lets more callers in", Warning: true, Edit: true,
		Text: "After the edit a caller may call a method that refused it before. Shown by diff, apply and serve.",
		Fix:  "If it is meant, write `widen: ok` in the rule. policies.widening: refuse rejects such edits.",
		Bad:  "rules: [] # before: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}]",
		Good: "rules: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}] # before: the same",
	},
	{
		Code: WiderRefused, Title: "an edit that lets more callers in is refused",
		Text: "As EM402, if policies.widening of the running or of the new set is refuse.",
		Fix:  "Write `widen: ok` in the rule, or use `easymicro apply --allow-wider`.",
		Bad:  "rules: [] # before, with policies.widening: refuse: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}]",
		Good: "rules: [{name: only-web, match: {service: Arith}, access: {allow: [{caller: web}]}}] # before: the same",
	},
	{
		Code: OpenAdmin, Title: "admin without a token",
		Text: "Other machines can reach the admin listener, which can change what runs.",
		Fix:  "Set admin.tokens or admin.tokenFile, or use a loopback address.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nadmin: {address: 0.0.0.0:8970}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nadmin: {address: 0.0.0.0:8970, tokenFile: token.txt}",
	},
	{
		Code: Unreachable, Title: "published with an unreachable address", Warning: true,
		Text: "The service is published to discovery with a loopback address, which other machines cannot reach.",
		Fix:  "Set register.advertise, or listen on an address of the network.",
		Bad: "services: [{name: Arith, handler: samples.arith, publish: true}]\n" +
			"discovery: {etcd: [{name: main, endpoints: [\"http://10.0.0.9:2379\"], register: {}}]}",
		Good: "services: [{name: Arith, handler: samples.arith, publish: true}]\n" +
			"discovery: {etcd: [{name: main, endpoints: [\"http://10.0.0.9:2379\"], register: {advertise: \"10.0.0.7:8972\"}}]}",
	},
	{
		Code: Overridden, Title: "the environment overrides a setting", Warning: true,
		Text: "GOGC or GOMEMLIMIT of the environment replaces the setting of the manifest.",
		Fix:  "Remove one of them.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nhost: {memory: {minHeap: 8MiB}} # in an environment with GOGC=50",
		Good: "services: [{name: Arith, handler: samples.arith}]\nhost: {memory: {minHeap: 8MiB}}",
	},
	{
		Code: StandIn, Title: "a fallback is used", Warning: true,
		Text: "The policy files are invalid and the fallback is used, or the fallback is unusable. " +
			"Or a certificate and its key do not match, and the previous ones stay in use.",
		Fix:  "Fix the files that the message names.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [policies.yaml], fallback: [\"none-*.yaml\"]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [policies.yaml], fallback: [\"other/*.yaml\", \"other/*.yml\"]}",
	},
	{
		Code: Lost, Title: "protection is lost", Warning: true, Edit: true,
		Text: "An edit removes or disarms an enforced rule. Shown by diff, apply and serve.",
		Fix:  "Make sure that it is meant. If a rule was renamed, write `was: OLD-NAME` in it.",
		Bad:  "rules: [] # before: [{name: slow, match: {service: Arith}, timeout: 1s}]",
		Good: "rules: [{name: slower, was: slow, match: {service: Arith}, timeout: 1s}] # before: [{name: slow, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: NobodyOperates, Title: "no admin token can operate", Warning: true,
		Text: "All tokens of admin.tokens.file have role read or have expired, and admin.tokenFile is not set. " +
			"Commands that change what runs are refused; edits of the files are applied.",
		Fix:  "Give a token role operate.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nadmin: {tokens: {file: readers.yaml}}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nadmin: {tokens: {file: operators.yaml}}",
	},
}

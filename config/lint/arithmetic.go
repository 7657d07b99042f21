package lint

// Codes about numbers.
const (
	Contradiction          Code = "EM301"
	RateRange              Code = "EM302"
	TooMany                Code = "EM303"
	AttemptsBeyondTimeout  Code = "EM304"
	BackoffBeyondTimeout   Code = "EM305"
	HedgeBeyondTimeout     Code = "EM306"
	WaitBeyondTimeout      Code = "EM307"
	WindowTooShort         Code = "EM308"
	SlowCallsBeyondTimeout Code = "EM309"
	TooFewCalls            Code = "EM310"
	NoneEjected            Code = "EM311"
	NoEffect               Code = "EM312"
	IdleLimit              Code = "EM313"
	Copied                 Code = "EM314"
	ExcludesAll            Code = "EM315"
	LumpyBurst             Code = "EM316"
	RefillsAtRestart       Code = "EM317"
	QueueNeverFills        Code = "EM318"
	AboveService           Code = "EM319"
	Doubled                Code = "EM320"
	NearBound              Code = "EM321"
	ExpiresSoon            Code = "EM322"
	Expired                Code = "EM323"
	FewBuffers             Code = "EM324"
	IdleException          Code = "EM325"
)

var arithmeticPages = []Page{
	{
		Code: Contradiction, Title: "values that contradict each other",
		Text: "One value must not be above another one: initialBackoff and maxBackoff, drainDelay and gracePeriod, minHeap and limit.",
		Fix:  "Change one of them.",
		Bad:  "rules: [{name: again, match: {upstream: billing}, retry: {initialBackoff: 2s, maxBackoff: 1s}}]",
		Good: "rules: [{name: again, match: {upstream: billing}, retry: {initialBackoff: 20ms, maxBackoff: 1s}}]",
	},
	{
		Code: RateRange, Title: "a rate out of range",
		Text: "A rate must be from 1 a day to 100,000,000 a second.",
		Fix:  "Change rate or per.",
		Bad:  "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 0.001, per: 1h}}]",
		Good: "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 1, per: 1m, burst: 1}}]",
	},
	{
		Code: TooMany, Title: "too many rules",
		Text: "A set may have at most 20,000 rules, of which at most 100 may apply to one call. Rules for different exact callers do not add up.",
		Fix:  "Match several callers with one rule, by a glob or a list.",
		Bad:  "rules: [] # 101 rules for one method",
		Good: "rules: [] # 70 rules for one method",
	},
	{
		Code: AttemptsBeyondTimeout, Title: "attempts beyond the timeout", Warning: true,
		Text: "The timeout of the whole call ends before the last attempt is made: maxAttempts × perTryTimeout plus the pauses between them is longer.",
		Fix:  "Shorten perTryTimeout, make fewer attempts, or lengthen the timeout.",
		Bad:  "rules: [{name: again, match: {upstream: billing}, timeout: 1s, retry: {maxAttempts: 3, perTryTimeout: 600ms}}]",
		Good: "rules: [{name: again, match: {upstream: billing}, timeout: 1s, retry: {maxAttempts: 3, perTryTimeout: 300ms}}]",
	},
	{
		Code: BackoffBeyondTimeout, Title: "a back-off beyond the timeout", Warning: true,
		Text: "The pause before the first retry may be as long as the whole call, so that most calls are never tried again.",
		Fix:  "Shorten initialBackoff, or lengthen the timeout.",
		Bad:  "rules: [{name: again, match: {upstream: billing}, timeout: 1s, retry: {maxAttempts: 2, initialBackoff: 2s, maxBackoff: 5s}}]",
		Good: "rules: [{name: again, match: {upstream: billing}, timeout: 1s, retry: {maxAttempts: 2, initialBackoff: 20ms, maxBackoff: 5s}}]",
	},
	{
		Code: HedgeBeyondTimeout, Title: "a hedge beyond the timeout", Warning: true,
		Text: "The call, or each attempt, ends before the delay of a hedge, so that the last attempts are never made.",
		Fix:  "Shorten delay, or lengthen the timeout.",
		Bad:  "rules: [{name: twice, match: {upstream: billing}, timeout: 1s, hedge: {delay: 2s, maxAttempts: 2, methods: [GetInvoice]}}]",
		Good: "rules: [{name: twice, match: {upstream: billing}, timeout: 1s, hedge: {delay: 80ms, maxAttempts: 2, methods: [GetInvoice]}}]",
	},
	{
		Code: WaitBeyondTimeout, Title: "a wait beyond the timeout", Warning: true,
		Text: "A call may wait for a token or in a queue for longer than its timeout, which then ends the wait.",
		Fix:  "Shorten maxWait or queueTimeout.",
		Bad:  "rules: [{name: queue, match: {service: Arith}, timeout: 1s, concurrency: {max: 10, queue: 5, queueTimeout: 2s}}]",
		Good: "rules: [{name: queue, match: {service: Arith}, timeout: 1s, concurrency: {max: 10, queue: 5, queueTimeout: 500ms}}]",
	},
	{
		Code: WindowTooShort, Title: "a window shorter than a timeout", Warning: true,
		Text: "The breaker counts a call at the time when it began, so a call that times out has left the window before it counts.",
		Fix:  "Lengthen window to at least twice the timeout.",
		Bad:  "rules: [{name: stop, match: {service: Arith}, timeout: 10s, circuitBreaker: {window: 5s, failureRate: 50%, minRequests: 5}}]",
		Good: "rules: [{name: stop, match: {service: Arith}, timeout: 10s, circuitBreaker: {window: 20s, failureRate: 50%, minRequests: 5}}]",
	},
	{
		Code: SlowCallsBeyondTimeout, Title: "no call can be slow", Warning: true,
		Text: "slowCallDuration is not shorter than the timeout, which ends each call before it counts as slow.",
		Fix:  "Shorten slowCallDuration.",
		Bad:  "rules: [{name: stop, match: {upstream: billing}, timeout: 200ms, circuitBreaker: {slowCallRate: 50%, slowCallDuration: 1s}}]",
		Good: "rules: [{name: stop, match: {upstream: billing}, timeout: 2s, circuitBreaker: {slowCallRate: 50%, slowCallDuration: 1s}}]",
	},
	{
		Code: TooFewCalls, Title: "too few calls for a breaker", Warning: true,
		Text: "A rate limit lets fewer calls through within window than minRequests, so that the rates of the breaker never count.",
		Fix:  "Lower minRequests, lengthen window, or raise the limit.",
		Bad:  "rules: [{name: stop, match: {service: Arith}, rateLimit: {rate: 1, burst: 1}, circuitBreaker: {window: 10s, minRequests: 20, failureRate: 50%}}]",
		Good: "rules: [{name: stop, match: {service: Arith}, rateLimit: {rate: 9, burst: 1}, circuitBreaker: {window: 10s, minRequests: 20, failureRate: 50%}}]",
	},
	{
		Code: NoneEjected, Title: "no endpoint can be ejected", Warning: true,
		Text: "maxEjectionPercent of the few endpoints of an upstream is less than one, and one endpoint always stays.",
		Fix:  "Raise maxEjectionPercent, or add endpoints.",
		Bad:  "rules: [{name: out, match: {upstream: billing}, outlierDetection: {consecutiveFailures: 5, maxEjectionPercent: 10}}]",
		Good: "rules: [{name: out, match: {upstream: billing}, outlierDetection: {consecutiveFailures: 5, maxEjectionPercent: 50}}]",
	},
	{
		Code: NoEffect, Title: "a setting without effect", Warning: true,
		Text: "The setting is read only together with another one, which is not set, or it names what never happens.",
		Fix:  "Set the other one, or leave this one out.",
		Bad:  "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 5, maxWait: 1s}}]",
		Good: "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 5, onExceed: wait, maxWait: 1s}}]",
	},
	{
		Code: IdleLimit, Title: "a limit that never refuses", Warning: true,
		Text: "All calls of a rule must also pass another rule that is at least as strict, so that the first one never refuses a call.",
		Fix:  "Tighten it, exclude its calls from the other rule with match.except, or remove it.",
		Bad: "rules:\n  - {name: all, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}\n" +
			"  - {name: mul, match: {service: Arith, method: Mul}, rateLimit: {rate: 500, burst: 500}}",
		Good: "rules:\n  - {name: all, match: {service: Arith}, rateLimit: {rate: 500, burst: 500}}\n" +
			"  - {name: mul, match: {service: Arith, method: Mul}, rateLimit: {rate: 100, burst: 100}}",
	},
	{
		Code: Copied, Title: "a limit set twice", Warning: true,
		Text: "Two rules have the same setting for the same calls.",
		Fix:  "Remove one of them.",
		Bad: "rules:\n  - {name: a, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}\n" +
			"  - {name: b, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}",
		Good: "rules:\n  - {name: a, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}",
	},
	{
		Code: ExcludesAll, Title: "exceptions that exclude every call", Warning: true,
		Text: "match.except takes out every call that the rule matches.",
		Fix:  "Narrow the exceptions, or remove the rule.",
		Bad:  "rules: [{name: slow, match: {service: Arith, except: {service: \"A*\"}}, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: Arith, except: {service: Arith, method: Mul}}, timeout: 1s}]",
	},
	{
		Code: LumpyBurst, Title: "all calls of a long period at once", Warning: true,
		Text: "Without burst a bucket holds the tokens of one per, so that all calls of a long period may arrive at once.",
		Fix:  "Set burst.",
		Bad:  "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 600, per: 1m}}]",
		Good: "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 600, per: 1m, burst: 20}}]",
	},
	{
		Code: RefillsAtRestart, Title: "a quota that a restart refills", Warning: true,
		Text: "A bucket is full after a start. If it takes an hour or more to fill, each restart adds a noticeable part to the quota.",
		Fix:  "Set a smaller burst, or accept it and ignore the warning.",
		Bad:  "rules: [{name: daily, match: {service: Arith}, rateLimit: {rate: 1000, per: 24h, burst: 1000}}]",
		Good: "rules: [{name: daily, match: {service: Arith}, rateLimit: {rate: 1000, per: 1m, burst: 50}}]",
	},
	{
		Code: QueueNeverFills, Title: "a queue that never fills", Warning: true,
		Text: "A rate limit lets fewer calls through within queueTimeout, burst included, than the queue holds.",
		Fix:  "Shorten the queue, or raise burst.",
		Bad: "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 100, burst: 1}, " +
			"concurrency: {max: 10, queue: 200, queueTimeout: 50ms}}]",
		Good: "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 100, burst: 200}, " +
			"concurrency: {max: 10, queue: 200, queueTimeout: 50ms}}]",
	},
	{
		Code: AboveService, Title: "a rate above that of a wider rule", Warning: true,
		Text: "All calls of a rule must also pass a wider rule with a lower rate, so that its own rate is never sustained; only its burst may refuse a call.",
		Fix:  "Lower the rate, raise that of the wider rule, or exclude the calls from it with match.except.",
		Bad: "rules:\n  - {name: all, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}\n" +
			"  - {name: mul, match: {service: Arith, method: Mul}, rateLimit: {rate: 500, burst: 10}}",
		Good: "rules:\n  - {name: all, match: {service: Arith}, rateLimit: {rate: 100, burst: 100}}\n" +
			"  - {name: mul, match: {service: Arith, method: Mul}, rateLimit: {rate: 50, burst: 10}}",
	},
	{
		Code: Doubled, Title: "an edit that doubles the rules", Warning: true, Edit: true,
		Text: "An edit doubles the rules, and adds at least a hundred. Shown by diff, apply and serve.",
		Fix:  "Make sure that it is meant, and not a copied file or a faulty generator.",
		Bad:  "rules: [] # 150 rules; before: 50",
		Good: "rules: [] # 90 rules; before: 50",
	},
	{
		Code: NearBound, Title: "close to a bound", Warning: true,
		Text: "A set has 80 % of the 20,000 rules or of the 16 MiB that are allowed, or a file has 80 % of 1 MiB. Beyond the bound every edit is rejected.",
		Fix:  "Match several callers or methods with one rule, and split long files.",
		Bad:  "rules: [] # and 900,000 bytes of comments",
		Good: "rules: [] # and 100,000 bytes of comments",
	},
	{
		Code: ExpiresSoon, Title: "expires soon", Warning: true,
		Text: "A rule, a token or a certificate ends within days.",
		Fix:  "Set a later date, or prepare for its end.",
		Bad:  "rules: [{name: few, match: {service: Arith}, expires: \"${TOMORROW}\", rateLimit: {rate: 5}}]",
		Good: "rules: [{name: few, match: {service: Arith}, expires: 2190-01-01T00:00:00Z, rateLimit: {rate: 5}}]",
	},
	{
		Code: Expired, Title: "expired", Warning: true,
		Text: "A rule or a token has ended and has no effect, or peers refuse a certificate.",
		Fix:  "Set a later date, or remove it.",
		Bad:  "rules: [{name: few, match: {service: Arith}, expires: 2020-01-01T00:00:00Z, rateLimit: {rate: 5}}]",
		Good: "rules: [{name: few, match: {service: Arith}, expires: 2190-01-01T00:00:00Z, rateLimit: {rate: 5}}]",
	},
	{
		Code: FewBuffers, Title: "buffers for less than two calls", Warning: true,
		Text: "host.limits.maxBufferedBytes is less than two of the largest calls of a listener, so that such calls wait for each other.",
		Fix:  "Raise it, or lower maxMessageBytes and maxDecompressedBytes.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\nhost: {limits: {maxBufferedBytes: 16MiB}}",
		Good: "services: [{name: Arith, handler: samples.arith}]\nhost: {limits: {maxBufferedBytes: 64MiB}}",
	},
	{
		Code: IdleException, Title: "an exception that excludes nothing", Warning: true,
		Text: "match and an exception name different services, methods, callers or upstreams, so that the exception never matters.",
		Fix:  "Remove it, or correct one of the names.",
		Bad:  "rules: [{name: slow, match: {service: Arith, except: {service: Orders}}, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: [Arith, Orders], except: {service: Orders}}, timeout: 1s}]",
	},
}

package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// foreignValue returns our word for one of another system, or "".
func foreignValue(f *field, text string) string {
	word := fold(text)
	switch {
	case f.pattern == "key":
		for _, prefix := range []string{"header:", "header.", "http.header.", "metadata:"} {
			if name, ok := strings.CutPrefix(strings.ToLower(text), prefix); ok && name != "" {
				return "metadata." + name
			}
		}
		return foreignKeys[word]
	case len(f.enum) == 0:
		return ""
	}
	for ours := range strings.FieldsSeq(foreignWords[word]) {
		if slices.Contains(f.enum, ours) && !slices.Contains(f.laterEnum, ours) {
			return ours
		}
	}
	return ""
}

// foreignKeys maps what selects a bucket in nginx, Kong, KrakenD, Envoy and Traefik to ours.
var foreignKeys = map[string]string{
	"ip": "peer", "clientip": "peer", "sourceip": "peer", "remoteaddr": "peer", "remoteaddress": "peer", "$binaryremoteaddr": "peer",
	"address": "peer", "binaryremoteaddr": "peer", "$remoteaddr": "peer", "addr": "peer", "host": "peer",
	"user": "caller", "client": "caller", "consumer": "caller", "principal": "caller", "credential": "caller", "identity": "caller",
	"token": "caller", "apikey": "caller", "username": "caller", "subject": "caller",
	"path": "method", "route": "method", "service": "method", "endpoint": "method", "uri": "method",
}

// foreignWords maps words of other systems to ours; those in the enum of the field apply.
var foreignWords = map[string]string{
	"dryrun": "shadow", "monitor": "shadow", "audit": "shadow", "log": "shadow", "permissive": "shadow", "test": "shadow", "report": "shadow",
	"on": "enforce", "true": "enforce", "enabled": "enforce", "block": "enforce reject", "active": "enforce", "strict": "enforce",
	"false": "off", "disabled": "off", "inactive": "off", "none": "off",
	"drop": "reject", "deny": "reject", "refuse": "reject", "fail": "reject", "nodelay": "reject",
	"queue": "wait", "delay": "wait", "throttle": "wait", "shape": "wait",
	"roundrobin": "roundRobin", "rr": "roundRobin", "leastconn": "leastRequest", "leastconnections": "leastRequest",
	"leastrequest": "leastRequest", "ewma": "p2c", "poweroftwo": "p2c", "powerof2choices": "p2c", "poweroftwochoices": "p2c",
	"ringhash": "consistentHash", "maglev": "consistentHash", "hash": "consistentHash", "wrr": "weightedRoundRobin",
	"weighted": "weightedRoundRobin", "endpoints": "endpoint", "instance": "endpoint", "host": "endpoint", "cluster": "upstream",
}

// foreignHint explains a key of another system for which a single key of ours is not enough.
func foreignHint(t reflect.Type, word string) string {
	switch {
	case (t == reflect.TypeFor[Match]() || t == reflect.TypeFor[Exception]()) &&
		slices.Contains([]string{"host", "hosts", "path", "prefix", "uri", "url", "headers", "header"}, word):
		return "unknown key: a rule matches by service, method, caller, peer or upstream, not by HTTP host, path or header"
	case t == reflect.TypeFor[Rule]() && slices.Contains([]string{"maxrequests", "maxconns", "maxconnections"}, word):
		return "unknown key: rateLimit limits calls per time, concurrency limits calls in flight"
	}
	return ""
}

// foreignKey returns our key for one of another system; word is folded.
func foreignKey(t reflect.Type, word string) string {
	for line := range strings.Lines(foreign[t]) {
		ours, theirs, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		for their := range strings.FieldsSeq(theirs) {
			if their == word {
				return ours
			}
		}
	}
	return ""
}

// foreign lists, for each type, our key and the folded words for it in Envoy, Istio, nginx, resilience4j, Hystrix,
// gobreaker, Kong and Kubernetes.
var foreign = map[reflect.Type]string{
	reflect.TypeFor[Manifest](): `
		policies.rules: rules policy
		telemetry.logs: log logs logging logger
		telemetry.metrics: metrics prometheus
		telemetry.traces: traces tracing
		listeners: server servers listener listen address addr port bind
		services: service handlers
		host: node instance
		host.name: name hostname`,
	reflect.TypeFor[Host](): `
		name: id hostname
		labels: tags metadata
		shutdown.gracePeriod: graceperiod gracefultimeout terminationgraceperiodseconds`,
	reflect.TypeFor[Shutdown](): `
		gracePeriod: timeout grace terminationgraceperiodseconds
		drainDelay: delay prestop`,
	reflect.TypeFor[Listener](): `
		address: addr bind listen host port url
		protocols: protocol type
		limits: limit`,
	reflect.TypeFor[Limits](): `
		maxConnections: maxconns connections
		maxMessageBytes: maxmessagesize maxrecvmsgsize maxbodybytes maxbody
		maxInFlightPerConnection: maxconcurrentstreams maxinflight
		idleTimeout: keepalivetimeout idletimeoutms`,
	reflect.TypeFor[Service](): `
		handler: type class impl implementation
		methods.expose: expose
		options: config settings params args parameters
		aliases: alias
		accessLog: accesslogs log`,
	reflect.TypeFor[Upstream](): `
		service: servicename cluster target
		resolve: discovery registry resolver address
		resolve.endpoints: endpoints addresses hosts nodes servers urls url
		loadBalancer: lb balancer lbpolicy selectmode selector loadbalancing
		connection.connectTimeout: connecttimeout dialtimeout
		connection.poolSize: poolsize pool connections
		codec: serialize serializetype serializer encoding
		compression: compress compresstype
		group: tag zone subset
		idempotent: safe retryable`,
	reflect.TypeFor[Resolve](): `
		endpoints: addresses hosts nodes servers urls url address static
		etcd: discovery registry cluster
		dns: host hostname srv
		file: path`,
	reflect.TypeFor[LoadBalancer](): `
		policy: type mode strategy algorithm selectmode
		hashOn: hash hashpolicy key hashkey`,
	reflect.TypeFor[Etcd](): `
		endpoints: addresses hosts urls servers address url
		prefix: basepath base path root
		layouts: layout format
		register: publish registration
		usernameFile: username user
		passwordFile: password pass secret
		register.leaseTTL: ttl leasettl lease
		register.advertise: advertise advertiseaddress serviceaddress`,
	reflect.TypeFor[Register](): `
		advertise: address addr host serviceaddress advertiseaddress
		leaseTTL: ttl lease interval updateinterval`,
	reflect.TypeFor[TLS](): `
		certFile: cert crt certificate certchain
		keyFile: key privatekey
		clientCAFile: ca cafile clientca cacert trustedca
		clientAuth: mtls clientauthtype verify requireclientcertificate verifyclient`,
	reflect.TypeFor[ClientTLS](): `
		caFile: ca cafile cacert rootca
		certFile: cert crt certificate
		keyFile: key
		serverName: sni servername hostname`,
	reflect.TypeFor[Remote](): `
		services: allow allowlist include
		etcd: discovery registry cluster`,
	reflect.TypeFor[Methods](): `
		expose: allow only include`,
	reflect.TypeFor[Policies](): `
		files: file path paths include dir directory
		watch: reload`,
	reflect.TypeFor[PolicyFile](): `
		rules: rule policies policy limits`,
	reflect.TypeFor[Admin](): `
		address: addr listen port bind
		tokenFile: token auth secret`,
	reflect.TypeFor[Health](): `
		address: addr listen port bind`,
	reflect.TypeFor[Logs](): `
		level: loglevel severity verbosity
		format: encoding formatter`,
	reflect.TypeFor[Rule](): `
		match: when matcher matchers selector target where if
		rateLimit: throttle limit limiter qps rps ratelimiting quota
		concurrency: bulkhead maxconcurrency maxinflight concurrencylimit semaphore
		timeout: timeoutms deadline requesttimeout
		circuitBreaker: breaker hystrix cb
		access: acl allow deny authorization rbac
		retry: retries retrypolicy retrybackoff
		hedge: hedging hedgepolicy
		outlierDetection: outlier outliers ejection
		mode: enabled disabled active enforcement dryrun
		expires: expiry expiresat until ttl
		description: comment comments doc note
		match.service: service services
		match.method: method methods route
		match.caller: caller callers client user principal
		match.upstream: upstream upstreams cluster backend
		name: id rule`,
	reflect.TypeFor[Match](): `
		service: services svc
		method: methods route rpc
		caller: callers client clients user users principal source identity
		upstream: upstreams cluster backend destination
		except: not exclude excludes excluding unless without but notmatch
		peer: peers ip ips cidr address remoteaddr sourceip`,
	reflect.TypeFor[Exception](): `
		service: services svc
		method: methods route rpc
		caller: callers client clients user users principal source identity
		upstream: upstreams cluster backend destination
		peer: peers ip ips cidr address remoteaddr sourceip`,
	reflect.TypeFor[RateLimit](): `
		rate: qps rps limit requests maxrequests requestsperunit requestspersecond tokens limitforperiod average maxrate threshold
		rate: count tokensperfill allowedrequests
		per: interval period unit window duration timeunit fillinterval limitrefreshperiod time every statintervalinms
		burst: bucket capacity size burstsize maxtokens bucketsize clientcapacity
		key: keyby by groupby descriptor limitby strategy zone
		maxWait: timeout wait timeoutduration waittimeout maxqueueingtimems
		onExceed: action exceed onlimit`,
	reflect.TypeFor[Concurrency](): `
		max: limit maxconcurrent maxrequests maxinflight size permits maxconcurrentcalls
		queue: maxqueue queuesize maxpending maxpendingrequests backlog
		queueTimeout: timeout maxwait maxwaitduration wait`,
	reflect.TypeFor[CircuitBreaker](): `
		window: interval period slidingwindow slidingwindowsize bucketperiod rollingwindow statisticalwindow statintervalms checkperiod
		openTimeout: timeout sleepwindow waitdurationinopenstate baseejectiontime opendelay resettimeout timewindow retrytimeoutms
		openTimeout: sleepwindowinmilliseconds recoveryduration fallbackduration
		halfOpenRequests: maxrequests permittednumberofcallsinhalfopenstate probes halfopenmaxrequests
		minRequests: minrequestamount requestvolumethreshold minimumnumberofcalls minimumrequests minthroughput
		failureRate: threshold errorrate errorthreshold failureratethreshold errorthresholdpercentage failureratio errorpercent
		consecutiveFailures: maxfailures failures failurethreshold consecutive5xxerrors consecutiveerrors
		slowCallDuration: slowcalldurationthreshold slowthreshold maxallowedrtms maxallowedrt
		slowCallRate: slowcallratethreshold slowratiothreshold
		failOn: recordexceptions errors codes`,
	reflect.TypeFor[Retry](): `
		maxAttempts: attempts retries maxretries numretries count tries
		perTryTimeout: pertrytimeoutms attempttimeout trytimeout timeout
		initialBackoff: duration backoff baseinterval initialinterval delay backoffbaseinterval wait
		maxBackoff: maxinterval maxdelay maxwait
		retryOn: on retryablestatuscodes codes statuscodes conditions retryon errors
		failMode: mode
		budget: retrybudget budgetpercent retryratio tokenratio`,
	reflect.TypeFor[Hedge](): `
		delay: hedgingdelay after timeout wait
		maxAttempts: attempts hedges
		methods: method`,
	reflect.TypeFor[OutlierDetection](): `
		consecutiveFailures: threshold consecutive5xx consecutive5xxerrors consecutiveerrors consecutivegatewayfailure maxfailures failures
		interval: window
		baseEjectionTime: ejectiontime opentimeout timeout
		maxEjectionPercent: maxejectionpercentage`,
	reflect.TypeFor[AccessEntry](): `
		caller: callers client user principal subject from
		methods: method operations to`,
	reflect.TypeFor[Watch](): `
		poll: interval period
		debounce: delay quiet`,
	reflect.TypeFor[Token](): `
		caller: name user client subject
		sha256: token hash secret value digest
		expires: expiry expiresat until`,
	reflect.TypeFor[Route](): `
		path: pattern url uri prefix
		methods: verb verbs httpmethod
		method: rpc function
		service: upstream backend`,
}

var units = regexp.MustCompile(`(?i)(?:^|[a-z])(?:_?(ms|millis|milliseconds|msec)|(?:_|-)?(s|sec|secs|seconds))$`)

// unitIn returns the unit in the name of a key: timeoutMs.
func unitIn(key string) string {
	m := units.FindStringSubmatch(key)
	switch {
	case m == nil:
		return ""
	case m[1] != "":
		return "ms"
	default:
		return "s"
	}
}

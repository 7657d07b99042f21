// Package contract defines what the rig and a contestant say to each other. A contestant is a program in any language with
// three modes:
//
//	PROGRAM describe
//	        prints a list of Description, one for each contestant that it has
//	PROGRAM server -contestant NAME -handler HANDLER
//	        listens on a free port of 127.0.0.1, prints a Ready, answers each line on stdin, which is a Question, with its
//	        Counters, and exits when stdin ends
//	PROGRAM client -contestant NAME -address ADDRESS -connections N -callers N -warmup D -duration D [-rate R]
//	        makes one call on each connection, and then calls: in a closed loop, or R calls a second at a steady pace whatever
//	        the answers do. It prints a Measuring when the warm-up is over and another when the duration is, goes on calling
//	        for a moment, in which the server is asked for its counters, prints a Result, and exits
//	PROGRAM client -contestant NAME -address ADDRESS -connections N -hold
//	        makes one call on each connection, prints a Measuring, keeps the connections until stdin ends, and exits
//
// Everything printed is JSON, one value a line, on stdout. Errors go to stderr, with an exit code that is not 0. Handlers are
// named as package message describes; caller number i calls over connection i modulo their number. Contestants that need an
// etcd find its URL in the environment, as EtcdVariable. Where ProfileVariable is set, those written in Go keep a profile of
// their CPU in the file of that name with ".server.pprof" or ".client.pprof" appended; others may ignore it.
package contract

// Loads that a contestant takes part in.
const (
	Own    = "own"    // a connection for each caller
	Shared = "shared" // many callers on a connection
	HTTP   = "http"   // HTTP/1.1 with JSON, a connection for each caller
)

// Needs of a contestant.
const (
	NeedsEtcd    = "etcd"
	EtcdVariable = "BENCHMARK_ETCD"
)

// ProfileVariable asks for profiles.
const ProfileVariable = "BENCHMARK_PROFILE"

// Description describes a contestant.
type Description struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Note    string   `json:"note,omitempty"` // what it is, in a few words
	Loads   []string `json:"loads"`
	Needs   []string `json:"needs,omitempty"`
	GOGC    string   `json:"gogc,omitempty"` // in its environment, unless the scenario sets it; "unset" for none, "" for 100
}

// Ready is what a server prints when it serves.
type Ready struct {
	Address string `json:"address"`
}

// Question is a line on the stdin of a server.
type Question string

// Questions.
const (
	Count   Question = "count"   // the counters as they are
	Release Question = "release" // collect garbage and return memory to the system first
)

// Measuring is what a client prints at the begin and at the end of what it measures.
type Measuring struct {
	Measuring bool `json:"measuring"`
}

// Result is what a client prints at the end.
type Result struct {
	Calls     int64     `json:"calls"` // that ended in the duration; open loop: that were to begin in it
	Errors    int64     `json:"errors"`
	FirstErr  string    `json:"first_error,omitempty"`
	Seconds   float64   `json:"seconds"`
	LatencyUs Latency   `json:"latency_us"`
	LateUs    *Latency  `json:"late_us,omitempty"` // open loop: from the intended begin of a call to the real one
	Counters  *Counters `json:"counters"`          // of the client, for the duration
}

// Latency is a distribution, in microseconds.
type Latency struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	P9999 float64 `json:"p99_99"`
	Max   float64 `json:"max"`
}

// Counters are of a process since its start. What cannot be counted is 0.
type Counters struct {
	CPUUs      int64 `json:"cpu_us"` // user and system, as getrusage has it
	Mallocs    int64 `json:"mallocs"`
	AllocBytes int64 `json:"alloc_bytes"`
	GCs        int64 `json:"gcs"`
	Reads      int64 `json:"reads"`  // system calls of the read family, sockets included
	Writes     int64 `json:"writes"` // and of the write family
	RSSBytes   int64 `json:"rss_bytes"`
}

// Minus returns the difference to earlier counters of the same process. The resident memory is not a sum and stays as it is.
func (c Counters) Minus(before Counters) Counters {
	return Counters{
		CPUUs:      c.CPUUs - before.CPUUs,
		Mallocs:    c.Mallocs - before.Mallocs,
		AllocBytes: c.AllocBytes - before.AllocBytes,
		GCs:        c.GCs - before.GCs,
		Reads:      c.Reads - before.Reads,
		Writes:     c.Writes - before.Writes,
		RSSBytes:   c.RSSBytes,
	}
}

// Plus returns the counters of two processes together.
func (c Counters) Plus(other Counters) Counters {
	return Counters{
		CPUUs:      c.CPUUs + other.CPUUs,
		Mallocs:    c.Mallocs + other.Mallocs,
		AllocBytes: c.AllocBytes + other.AllocBytes,
		GCs:        c.GCs + other.GCs,
		Reads:      c.Reads + other.Reads,
		Writes:     c.Writes + other.Writes,
		RSSBytes:   c.RSSBytes + other.RSSBytes,
	}
}

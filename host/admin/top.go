package admin

// Fields by which Top sums up calls.
const (
	ByCaller = "caller"
	ByMethod = "method"
	ByPeer   = "peer"
)

// TopFields lists them.
func TopFields() []string { return []string{ByCaller, ByMethod, ByPeer} }

// MaxTopRows is the most rows that TopQuery may ask for, and its default.
const MaxTopRows = 1000

// TopQuery asks for the calls of the last five minutes.
type TopQuery struct {
	By              []string // fields to sum up by; empty: by caller and method
	Service, Method string   // only calls of this method; empty: of all
	Rows            int      // at most; 0: as many as there may be
}

// Top shows where the calls of the last five minutes come from, and what they call. The host counts them in bounded memory: if
// there are many callers or peers, those with few calls share a row.
type Top struct {
	By             []string `json:"by"`
	WindowSeconds  Seconds  `json:"window_seconds"`
	Calls          uint64   `json:"calls"` // in all rows, also those that are left out
	CallsPerSecond float64  `json:"calls_per_second"`
	Rows           []TopRow `json:"rows"` // those with most calls per second first
	More           int      `json:"more,omitempty"`
}

// TopRow counts calls that have the fields of Top.By in common.
type TopRow struct {
	Caller         string  `json:"caller,omitempty"` // empty if the caller is not identified
	Method         string  `json:"method,omitempty"` // Service/Method; _OTHER if it is not served
	Peer           string  `json:"peer,omitempty"`
	Others         bool    `json:"others,omitempty"` // callers or peers that are not counted apart: their fields are empty
	Calls          uint64  `json:"calls"`
	CallsPerSecond float64 `json:"calls_per_second"` // within the last five to ten seconds
	Share          float64 `json:"share"`            // of all calls per second or, if there are none, of all calls
	Failed         uint64  `json:"failed"`           // as in Traffic
	Refused        uint64  `json:"refused"`          // as in Traffic
	Mean           Seconds `json:"mean_seconds"`     // the mean duration of calls that were not refused
}

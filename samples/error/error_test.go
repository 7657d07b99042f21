package error_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples/error"
	"github.com/easymicro/easymicro/wire/code"
)

// outcomes are the ways in which a handler ends a call, with what the caller gets.
var outcomes = []struct {
	name, method, id string
	status           int
	code             code.Code
	reason, text     string
}{
	{"a code with a reason", "Get", "7", 404, code.NotFound, "no_such_order", "no order 7"},
	{"another code", "Get", "", 400, code.InvalidArgument, "no_id", "an order has an id"},
	{"a plain error", "Pay", "1", 500, code.Unknown, "", "pay for order 1: the ledger is closed"},
	{"a panic", "Ship", "1", 500, code.Internal, code.ReasonPanic, "the handler panicked"},
}

func TestCallersGetCodeReasonAndText(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	c := h.Dial()
	for _, tt := range outcomes {
		t.Run(tt.name+" over rpcx", func(t *testing.T) {
			var got struct{}
			e := code.From(hosttest.CallJSON(t.Context(), c, "Orders", tt.method, map[string]string{"id": tt.id}, &got))
			if e == nil || e.Code != tt.code || e.Reason != tt.reason || !strings.Contains(e.Message, tt.text) {
				t.Errorf("%+v", e)
			}
		})
		t.Run(tt.name+" over HTTP", func(t *testing.T) {
			res, body := h.Post("/Orders/"+tt.method, `{"id":"`+tt.id+`"}`)
			var p struct{ Detail, Code, Reason string }
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			if res.StatusCode != tt.status || p.Code != tt.code.String() || p.Reason != tt.reason || !strings.Contains(p.Detail, tt.text) {
				t.Errorf("%s %s", res.Status, body)
			}
		})
	}
}

func TestAPlainErrorReachesThePeerVerbatim(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	var got struct{}
	err := hosttest.CallJSON(t.Context(), c, "Orders", "Pay", map[string]string{"id": "1"}, &got)
	if err == nil || err.Error() != "pay for order 1: the ledger is closed" {
		t.Errorf("%v", err)
	}
}

func TestAPanicIsLoggedAndTheHostKeepsRunning(t *testing.T) {
	var log buffer
	h := hosttest.StartCopy(t, ".", hosttest.Options{Log: &log})
	_, body := h.Post("/Orders/Ship", `{"id":"1"}`)
	if strings.Contains(body, "nil map") {
		t.Errorf("the text of the panic reached the caller: %s", body)
	}
	if text := log.String(); !strings.Contains(text, "nil map") || !strings.Contains(text, "error.go") {
		t.Errorf("the log names neither panic nor place:\n%s", text)
	}
	if res, body := h.Post("/Orders/Get", `{"id":"1"}`); res.StatusCode != 200 || !strings.Contains(body, "tea") {
		t.Errorf("after the panic: %s %s", res.Status, body)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

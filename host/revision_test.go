package host

import "testing"

// Whoever saves a bad file again and again does not make the host forget what runs.
func TestTheRevisionThatRunsIsRememberedHoweverManyAreRejected(t *testing.T) {
	var h history
	h.add(Revision{Number: 1, Result: ResultApplied})
	h.add(Revision{Number: 2, Result: ResultApplied, Source: SourceFile})
	for range 3 * revisionsKept {
		h.add(Revision{Number: 2, Result: ResultRejected})
	}
	if r, ok := h.applied(2); !ok || r.Source != SourceFile {
		t.Errorf("%+v %v", r, ok)
	}
	if _, ok := h.applied(1); ok || len(h.all()) != revisionsKept {
		t.Error("the history has no end")
	}
}

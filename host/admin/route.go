package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// route is a path of the API. serve returns the response, which is written as JSON; handle writes its own.
type route struct {
	method string // GET, which takes HEAD too, or POST
	path   string
	params []string // the known query parameters
	serve  func(r *http.Request, p params) (any, error)
	post   func(r *http.Request, p params) (any, error) // for POST to a path with GET; nil: not allowed
	handle http.Handler
	atOnce int // how many responses to GET are made at a time, since they may be large; 0: any number
}

// few is atOnce of responses that may wait for services or files.
const few = 4

// What is large among the bodies of requests, and how many requests with such a body, or with one of unknown length, are served at a time.
const (
	largeBody      = 1 << 20
	maxLargeBodies = 2
)

// slotWait is how long a request waits for others of its kind.
const slotWait = 10 * time.Second

func (rt *route) allowed() []string {
	allow := []string{rt.method}
	if rt.method == http.MethodGet {
		allow = append(allow, http.MethodHead)
	}
	if rt.post != nil {
		allow = append(allow, http.MethodPost)
	}
	return allow
}

func (rt *route) handler(a *api) http.Handler {
	allow, making := rt.allowed(), newSlots(rt.atOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(allow, r.Method) {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			a.fail(w, r, Errorf(CodeMethodNotAllowed, "%s is not allowed on %s", shown(r.Method), r.URL.Path).
				WithHelp("use %s", rt.method))
			return
		}
		if rt.handle != nil {
			rt.handle.ServeHTTP(w, r)
			return
		}
		status, body, err := rt.response(a, making, r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		a.send(w, r, status, "application/json", body)
	})
}

// response returns the response to a request, with its status.
func (rt *route) response(a *api, making slots, r *http.Request) (status int, body []byte, err error) {
	p, err := readParams(r.URL.RawQuery, rt.params)
	if err != nil {
		return 0, nil, err
	}
	serve := rt.serve
	if r.Method == http.MethodPost {
		making = nil
		if rt.post != nil {
			serve = rt.post
		}
		if r.ContentLength < 0 || r.ContentLength > largeBody {
			making = a.bodies
		}
	}
	if err := making.enter(r.Context(), slotWait); err != nil {
		return 0, nil, err
	}
	defer making.leave()
	answer, err := serve(r, p)
	if err != nil {
		return 0, nil, err
	}
	status = http.StatusOK
	if ready, ok := answer.(Readiness); ok && !ready.Ready {
		status = http.StatusServiceUnavailable
	}
	return status, a.encode(r, answer), nil
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

type api struct {
	host Host
	log  *slog.Logger
}

// route is one path of the API. serve gives the answer as a value that is told as JSON, or handle writes it itself.
type route struct {
	method string // GET, which takes HEAD too, or POST
	path   string
	params []string // the query parameters that are known
	serve  func(r *http.Request, p params) (any, error)
	handle http.Handler
}

func (a *api) mount(mux *http.ServeMux, routes []route) {
	for _, rt := range routes {
		mux.Handle(rt.path, a.endpoint(rt))
	}
}

// notFound names the paths that there are.
func (a *api) notFound(routes []route) http.Handler {
	paths := make([]string, 0, len(routes))
	for _, rt := range routes {
		paths = append(paths, rt.path)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, Errorf(CodeNotFound, "there is nothing at %s", shown(r.URL.Path)).
			WithHelp("paths: %s", strings.Join(paths, " ")))
	})
}

func (a *api) endpoint(rt route) http.Handler {
	allow := []string{rt.method}
	if rt.method == http.MethodGet {
		allow = append(allow, http.MethodHead)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(allow, r.Method) {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			a.fail(w, r, Errorf(CodeMethodNotAllowed, "%s is not a method of %s", shown(r.Method), r.URL.Path).
				WithHelp("use %s", rt.method))
			return
		}
		if rt.handle != nil {
			rt.handle.ServeHTTP(w, r)
			return
		}
		p, err := readParams(r.URL.RawQuery, rt.params)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		answer, err := rt.serve(r, p)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		status := http.StatusOK
		if s, ok := answer.(withStatus); ok {
			status = s.httpStatus()
		}
		a.write(w, r, status, "application/json", answer)
	})
}

// withStatus is an answer that is told with another status than 200.
type withStatus interface{ httpStatus() int }

// fail tells an error. What is not an *Error may hold anything, so its text stays inside.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e = Errorf(CodeUnavailable, "the host did not answer in time")
	default:
		a.logError(r, err)
		e = Errorf(CodeInternal, "the host could not answer").WithHelp("its log says why")
	}
	status := e.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	a.write(w, r, status, "application/problem+json", e)
}

func (a *api) logError(r *http.Request, err error) {
	if a.log != nil {
		a.log.ErrorContext(r.Context(), "admin request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
}

func (a *api) write(w http.ResponseWriter, r *http.Request, status int, contentType string, answer any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(answer); err != nil {
		a.logError(r, fmt.Errorf("encode the answer: %w", err))
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client may be gone
}

// recovered turns a panic into one failed request, told without its text.
func (a *api) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) //nolint:forbidigo // what net/http wants for cutting a connection goes on to it
			}
			a.logError(r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			a.fail(w, r, Errorf(CodeInternal, "the host could not answer").WithHelp("its log says why"))
		}()
		next.ServeHTTP(w, r)
	})
}

package bearer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxSetBytes  = 1 << 20
	maxRedirects = 3
	fetchTimeout = 10 * time.Second

	fetchEvery  = 15 * time.Minute // unless the response says how long it may be cached
	fetchSoon   = time.Minute      // the least of what the response may say
	fetchLate   = 24 * time.Hour   // and the most
	askEvery    = 10 * time.Second // for keys that are unknown
	askWait     = 3 * time.Second  // of a call whose key is unknown
	askWaiting  = 100              // such calls at a time; others do not wait
	retryFirst  = time.Second
	retryLatest = time.Minute
)

// Source has the keys that a URL serves. While it is followed it fetches them again from time to time, and when a token names a
// key that is unknown. Keys stay in use until a fetch has brought others.
type Source struct {
	id, url string
	client  *http.Client
	keys    atomic.Pointer[Keys]

	mu      sync.Mutex
	fetched Fetched
	asked   time.Time     // the last time that a token asked
	flight  chan struct{} // closed when the fetch that tokens wait for has ended; nil: none
	waiting int
	wake    chan struct{} // of the loop; nil: not followed
}

// Fetched is the state of a Source.
type Fetched struct {
	URL  string
	Keys int       // in use
	At   time.Time // of the last fetch that has brought keys
	Err  error     // of the last fetch; nil: it has brought keys
}

// NewSource returns a source without keys. Sources with the same id may replace each other; conf may be nil.
func NewSource(id, from string, conf *tls.Config) *Source {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout, MaxResponseHeaderBytes: 64 << 10,
	}
	return &Source{id: id, url: from, client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	case next.URL.Scheme != via[0].URL.Scheme:
		return fmt.Errorf("redirected from %s to %s", via[0].URL.Scheme, next.URL.Scheme)
	}
	return nil
}

// ID returns the id of the source.
func (s *Source) ID() string { return s.id }

// State returns what is known of the last fetches.
func (s *Source) State() Fetched {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fetched
	f.URL = s.url
	if keys := s.keys.Load(); keys != nil {
		f.Keys = len(keys.list)
	}
	return f
}

// Fetch fetches the keys once. It returns how long they may be used without another fetch.
func (s *Source) Fetch(ctx context.Context) (fresh time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, fresh, err := s.get(ctx)
	if err == nil && !keys.Same(s.keys.Load()) {
		s.keys.Store(keys)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.Err = err; err == nil {
		s.fetched.At = time.Now()
	}
	if s.flight != nil {
		close(s.flight)
		s.flight = nil
	}
	return fresh, err
}

func (s *Source) get(ctx context.Context) (keys *Keys, fresh time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok { // the URL is named already
			err = inner.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no response within %s", fetchTimeout)
		}
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, errors.New("responded " + res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSetBytes+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("the response ended early: %w", err)
	case len(data) > maxSetBytes:
		return nil, 0, errors.New("the response is larger than 1 MiB")
	}
	if keys, err = ParseKeys(data); err != nil {
		return nil, 0, fmt.Errorf("the response %w", err)
	}
	return keys, freshness(res.Header), nil
}

// freshness returns how long a response may be used, within bounds.
func freshness(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil && strings.EqualFold(name, "max-age") {
			return min(max(time.Duration(seconds)*time.Second, fetchSoon), fetchLate)
		}
	}
	return fetchEvery
}

// Follow fetches the keys until ctx ends. Each change between success and failure, and each change of the keys, is told; tell
// is not called concurrently.
func (s *Source) Follow(ctx context.Context, tell func(Fetched)) {
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	s.wake = wake
	failing, wait := s.fetched.Err != nil, fetchEvery
	if s.keys.Load() == nil {
		wait = retryFirst
	}
	s.mu.Unlock()
	defer s.unfollow()
	for retry := retryFirst; ; {
		timer := time.NewTimer(jittered(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-wake:
			timer.Stop()
		}
		before := s.keys.Load()
		fresh, err := s.Fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if wait = fresh; err != nil {
			wait = retry
			retry = min(2*retry, retryLatest)
		} else {
			retry = retryFirst
		}
		if (err != nil) != failing || before != s.keys.Load() {
			failing = err != nil
			tell(s.State())
		}
	}
}

// unfollow has calls no longer ask for keys.
func (s *Source) unfollow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = nil
	if s.flight != nil {
		close(s.flight)
		s.flight = nil
	}
}

// jittered returns d, ±10 %: hosts that start together do not fetch together.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// renew has the keys fetched because a token names an unknown one, and waits for them. It reports whether there may be others
// now. Tokens can be invented: however many ask, there is one fetch at a time and a pause between them.
func (s *Source) renew(ctx context.Context) bool {
	s.mu.Lock()
	if s.wake == nil || s.waiting >= askWaiting || s.flight == nil && time.Since(s.asked) < askEvery {
		s.mu.Unlock()
		return false
	}
	if s.flight == nil {
		s.asked, s.flight = time.Now(), make(chan struct{})
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	flight := s.flight
	s.waiting++
	s.mu.Unlock()
	timer := time.NewTimer(askWait)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	return true
}

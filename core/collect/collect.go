// Package collect gathers Results over common protocols, one file each.
//
// A collector never returns an error: whatever goes wrong becomes the Outcome
// and Why of the Result. Fail means that the target answered wrongly or could
// not be reached; Error means that we could not ask. It does its work on the
// caller's goroutine, ends when its context does, and leaves no connection and
// no goroutine behind, but for the idle connections of an http check that asks
// to keep them.
package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect/dial"
)

// DialFunc opens a connection; [dial.Dialer.DialContext] is one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Collector is a collector with its configuration, ready to gather.
type Collector interface {
	Collect(ctx context.Context, rc core.RunContext) core.Result
}

// Registry holds the built-in collectors. It is safe for concurrent use.
type Registry struct {
	kinds []kind
}

// kind is one built-in collector.
type kind interface {
	info() core.CollectorInfo
	prepare(config map[string]any) (Collector, error)
}

// Builtin is the collectors that come with Tocsin; they dial with dialer.
func Builtin(dialer DialFunc) *Registry {
	return &Registry{kinds: []kind{newHTTP(dialer), newTCP(dialer)}}
}

// Infos describes every built-in collector, in order of name.
func (r *Registry) Infos() []core.CollectorInfo {
	infos := make([]core.CollectorInfo, len(r.kinds))
	for i, k := range r.kinds {
		infos[i] = k.info()
	}
	slices.SortFunc(infos, func(a, b core.CollectorInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// Info describes the collector called use, or says which there are.
func (r *Registry) Info(use string) (core.CollectorInfo, error) {
	k, err := r.find(use)
	if err != nil {
		return core.CollectorInfo{}, err
	}
	return k.info(), nil
}

// Prepare makes a collector of its configuration, which its schema has
// accepted.
func (r *Registry) Prepare(use string, config map[string]any) (Collector, error) {
	k, err := r.find(use)
	if err != nil {
		return nil, err
	}
	return k.prepare(config)
}

func (r *Registry) find(use string) (kind, error) {
	var names []string
	for _, k := range r.kinds {
		name := k.info().Name
		if name == use {
			return k, nil
		}
		names = append(names, name)
	}
	return nil, fmt.Errorf("there is no collector %q; there are %s and, for an uploaded module, wasm:NAME", use, strings.Join(names, ", "))
}

// decode reads a configuration into a struct and refuses unknown fields.
func decode(config map[string]any, into any) error {
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	return nil
}

// failure turns an error on the way to address into the Outcome and reason.
// doing is what was under way ("connecting"), took how long it all lasted.
func failure(ctx context.Context, err error, doing, address string, took time.Duration) (core.Outcome, core.Why) {
	took = took.Round(time.Millisecond)
	if refused, ok := errors.AsType[*dial.Refused](err); ok {
		return core.Error, core.Because("refused", "{error}", "error", refused.Error())
	}
	if errors.Is(ctx.Err(), context.Canceled) { // before all that cancelling looks like
		return core.Error, core.Because("cancelled", "the run was cancelled while {doing}", "doing", doing)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !isTimeout(ctx, err) {
		if dns.IsNotFound {
			return core.Fail, core.Because("dns", "no such host {host}", "host", dns.Name)
		}
		return core.Error, core.Because("resolver", "cannot resolve {host}: {error}", "host", dns.Name, "error", dns.Err)
	}
	_, port, _ := net.SplitHostPort(address)
	switch {
	case isTimeout(ctx, err):
		return core.Fail, core.Because("timeout", "timed out after {took} while {doing}", "took", took.String(), "doing", doing)
	case errors.Is(err, syscall.ECONNREFUSED):
		return core.Fail, core.Because("connect", "connection refused on :{port}", "port", port)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return core.Fail, core.Because("reset", "connection reset by {address} while {doing}", "address", address, "doing", doing)
	case errors.Is(err, syscall.EHOSTUNREACH):
		return core.Fail, core.Because("connect", "no route to {address}", "address", address)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.ENOBUFS):
		return core.Error, core.Because("network", "our own network cannot reach {address}: {error}", "address", address, "error", last(err))
	}
	return core.Fail, core.Because("protocol", "{error} while {doing}", "error", last(err), "doing", doing)
}

func isTimeout(ctx context.Context, err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return true
	}
	if n, ok := errors.AsType[net.Error](err); ok {
		return n.Timeout()
	}
	return false
}

// last is the innermost message of err: "unexpected EOF" of
// "Get \"http://…\": unexpected EOF". Joined errors stand on one line.
func last(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		err = inner
	}
}

func millis(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

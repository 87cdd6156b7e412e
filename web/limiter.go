package web

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds how often an address may try. Addresses of IPv6 are counted
// by their /64, which one household or machine owns whole.
type limiter struct {
	each int // a minute

	mu    sync.Mutex
	known map[netip.Prefix]*rate.Limiter
	since time.Time // known was emptied
}

// mostAddresses bounds the memory of a limiter.
const mostAddresses = 10_000

func newLimiter(each int) *limiter {
	return &limiter{each: each, known: map[netip.Prefix]*rate.Limiter{}}
}

// allow reports whether the address may try now, and counts it.
func (l *limiter) allow(addr netip.Addr) bool {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	key, err := addr.Prefix(bits)
	if err != nil {
		key = netip.Prefix{}
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= mostAddresses || now.Sub(l.since) > time.Hour {
		for k, known := range l.known {
			if known.TokensAt(now) >= float64(l.each) {
				delete(l.known, k)
			}
		}
		l.since = now
	}
	if l.known[key] == nil {
		if len(l.known) >= mostAddresses {
			return false
		}
		l.known[key] = rate.NewLimiter(rate.Limit(float64(l.each)/60), l.each)
	}
	return l.known[key].AllowN(now, 1)
}

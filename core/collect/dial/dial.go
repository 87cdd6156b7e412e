// Package dial opens network connections to addresses that somebody else
// named: the targets of checks, the hosts that a Module asks for, webhooks.
//
// A [Dialer] resolves the name itself, refuses addresses that its [Policy]
// does not allow, and connects to exactly the address that it examined, so a
// name that changes its answer between the check and the connection (DNS
// rebinding) gains nothing. Link-local addresses (with them the metadata
// services of clouds), multicast, unspecified and broadcast addresses are
// refused under every Policy.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Policy says which addresses may be dialled besides public ones.
type Policy struct {
	Loopback bool // 127.0.0.0/8 and ::1; default no
	Private  bool // RFC 1918, RFC 4193 and RFC 6598 (shared) addresses; default no
}

// Refused is the error for an address that the Policy does not allow. It is
// not a fault of the target.
type Refused struct {
	Host string
	Addr netip.Addr
	Kind string // "link-local", "loopback", ...
}

// Error names the host, the address and why it was refused.
func (e *Refused) Error() string {
	if e.Host == e.Addr.String() {
		return fmt.Sprintf("%s is a %s address, which may not be reached from here", e.Host, e.Kind)
	}
	return fmt.Sprintf("%s is %s, a %s address, which may not be reached from here", e.Host, e.Addr, e.Kind)
}

// Resolver looks names up. [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options of a Dialer. Zero works.
type Options struct {
	Resolver Resolver                                   // default net.DefaultResolver
	Resolved func(ctx context.Context, addr netip.Addr) // told of the address before it is dialled; default nothing
}

// Dialer dials under a Policy. It is safe for concurrent use.
type Dialer struct {
	policy Policy
	o      Options
	plain  net.Dialer
}

// New is a Dialer under a policy.
func New(policy Policy, o Options) *Dialer {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	d := &Dialer{policy: policy, o: o}
	// The control function sees the address of the very socket, after all
	// resolution: nothing can slip past it.
	d.plain = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial %s: %w", address, err)
		}
		return d.Allow(ap.Addr().String(), ap.Addr())
	}}
	return d
}

// Allow reports whether addr may be dialled, as nil or a [*Refused] that names
// host.
func (d *Dialer) Allow(host string, addr netip.Addr) error {
	if kind := refuse(addr, d.policy); kind != "" {
		return &Refused{Host: host, Addr: addr, Kind: kind}
	}
	return nil
}

// refuse is the kind of an address that is not allowed, "" when it is.
func refuse(addr netip.Addr, p Policy) string {
	addr = addr.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if v4, ok := embedded(addr); ok {
		if kind := refuse(v4, p); kind != "" {
			return kind
		}
	}
	switch {
	case !addr.IsValid():
		return "invalid"
	case addr.IsUnspecified(), inAny(addr, "0.0.0.0/8"):
		return "unspecified"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast(), addr.IsInterfaceLocalMulticast():
		return "link-local"
	case inAny(addr, "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"):
		return "cloud metadata" // those that are not link-local
	case addr.IsMulticast():
		return "multicast"
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "broadcast"
	case addr.IsLoopback() && !p.Loopback:
		return "loopback"
	case (addr.IsPrivate() || inAny(addr, "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "fec0::/10")) && !p.Private:
		return "private"
	case inAny(addr, "240.0.0.0/4"):
		return "reserved"
	}
	return ""
}

// embedded is the IPv4 address inside an IPv6 address of a transition
// mechanism: NAT64 (RFC 6052), 6to4 (RFC 3056) and IPv4-compatible.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case inAny(addr, "64:ff9b::/96"), inAny(addr, "::/96") && !addr.IsLoopback() && !addr.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case inAny(addr, "2002::/16"):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func inAny(addr netip.Addr, prefixes ...string) bool {
	for _, p := range prefixes {
		if netip.MustParsePrefix(p).Contains(addr) {
			return true
		}
	}
	return false
}

// DialContext connects to address ("host:port") over network tcp, tcp4, tcp6
// or udp. Each address of a name is tried in turn until one answers or ctx
// ends; when the Policy refuses every address the error is a [*Refused].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial %q: the port must be a number up to 65535", address)
	}
	addrs, err := d.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	var errs error
	for i, addr := range addrs {
		if err := d.Allow(host, addr); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		if d.o.Resolved != nil {
			d.o.Resolved(ctx, addr)
		}
		conn, err := d.one(ctx, network, netip.AddrPortFrom(addr, uint16(n)), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		errs = errors.Join(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if refused, ok := errors.AsType[*Refused](errs); ok && len(addrs) == 1 {
		return nil, refused
	}
	return nil, errs
}

// one tries one address, within its fair share of the time that is left.
func (d *Dialer) one(ctx context.Context, network string, ap netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(left), time.Second))
		defer cancel()
	}
	return d.plain.DialContext(ctx, network, ap.String())
}

func (d *Dialer) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	if host == "" || numeric(host) {
		return nil, fmt.Errorf("%q is not a host name nor an address in its usual form", host)
	}
	family := "ip"
	switch {
	case strings.HasSuffix(network, "4"):
		family = "ip4"
	case strings.HasSuffix(network, "6"):
		family = "ip6"
	}
	addrs, err := d.o.Resolver.LookupNetIP(ctx, family, host)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// numeric reports a host that some resolvers read as an address in decimal,
// octal, hexadecimal or short form: 2130706433, 0177.0.0.1, 0x7f.1, 127.1.
func numeric(host string) bool {
	for part := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if _, err := strconv.ParseUint(part, 0, 64); err != nil {
			if _, err := strconv.ParseUint(part, 10, 64); err != nil {
				return false
			}
		}
	}
	return true
}

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
	"cmp"
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
type Refused struct { //nolint:errname // reads dial.Refused at the caller, as net.Error does
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
	// ::ffff:127.0.0.1 is 127.0.0.1, and a zone leads nowhere else.
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		b := addr.As16()
		if v4, ok := embedded(b); ok {
			if kind := refuse(v4, p); kind != "" {
				return kind
			}
		}
		return cmp.Or(never(addr), never6(b), unless(p.Loopback, addr.IsLoopback(), "loopback"),
			unless(p.Private, addr.IsPrivate() || private6(b), "private"))
	}
	if !addr.IsValid() {
		return "invalid"
	}
	b := addr.As4()
	return cmp.Or(never(addr), never4(b), unless(p.Loopback, addr.IsLoopback(), "loopback"),
		unless(p.Private, addr.IsPrivate() || private4(b), "private"))
}

// unless is kind when an address is of it and that is not allowed.
func unless(allowed, is bool, kind string) string {
	if is && !allowed {
		return kind
	}
	return ""
}

// never is the kind of an address of either family that no Policy allows. The
// metadata services in ranges that a Policy may allow are in never4 and never6.
func never(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "unspecified"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast(), addr.IsInterfaceLocalMulticast():
		return "link-local"
	case addr.IsMulticast():
		return "multicast"
	}
	return ""
}

func never4(b [4]byte) string {
	switch {
	case b[0] == 0:
		return "unspecified"
	case b == [4]byte{168, 63, 129, 16}, b == [4]byte{100, 100, 100, 200}, b == [4]byte{192, 0, 0, 192}:
		return "cloud metadata" // of Azure, Alibaba and Oracle
	case b == [4]byte{255, 255, 255, 255}:
		return "broadcast"
	case b[0] >= 240:
		return "reserved"
	}
	return ""
}

func never6(b [16]byte) string {
	if b == [16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54} {
		return "cloud metadata" // of AWS, fd00:ec2::254
	}
	return ""
}

// private4 reports an IPv4 address that is not public, besides RFC 1918.
func private4(b [4]byte) bool {
	return b[0] == 100 && b[1]&0xc0 == 64 || // 100.64.0.0/10, shared
		b[0] == 192 && b[1] == 0 && b[2] == 0 || // 192.0.0.0/24, protocol assignments
		b[0] == 198 && b[1]&0xfe == 18 // 198.18.0.0/15, benchmarks
}

// private6 reports an IPv6 address that is not public, besides RFC 4193.
func private6(b [16]byte) bool {
	return b[0] == 0xfe && b[1]&0xc0 == 0xc0 || // fec0::/10, site-local
		[6]byte(b[:6]) == [6]byte{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01} // 64:ff9b:1::/48, NAT64 of a site
}

// embedded is the IPv4 address inside an IPv6 address of a transition
// mechanism: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-translated (RFC 2765) and
// IPv4-compatible.
func embedded(b [16]byte) (netip.Addr, bool) {
	var head [12]byte
	copy(head[:], b[:])
	switch {
	case head == [12]byte{0x00, 0x64, 0xff, 0x9b}, head == [12]byte{8: 0xff, 9: 0xff}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case head == [12]byte{} && b != [16]byte{} && b != [16]byte{15: 1}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// DialContext connects to address ("host:port") over network tcp, tcp4, tcp6
// or udp. Each address of a name is tried in turn until one answers or ctx
// ends. When the Policy refuses every address the error is a [*Refused];
// otherwise it tells of those that were tried.
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
	var refused, failed error
	for i, addr := range addrs {
		if err := d.Allow(host, addr); err != nil {
			refused = cmp.Or(refused, err)
			continue
		}
		if d.o.Resolved != nil {
			d.o.Resolved(ctx, addr)
		}
		conn, err := d.one(ctx, network, netip.AddrPortFrom(addr, uint16(n)), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, refused
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
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	out := make([]netip.Addr, len(addrs)) // the slice is the resolver's
	for i, addr := range addrs {
		out[i] = addr.Unmap()
	}
	return out, nil
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

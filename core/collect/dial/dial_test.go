package dial_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/tocsin-io/tocsin/core/collect/dial"
)

func TestAllow(t *testing.T) {
	everything := dial.Policy{Loopback: true, Private: true}
	for _, tt := range []struct {
		addr   string
		policy dial.Policy
		kind   string
	}{
		{"93.184.216.34", dial.Policy{}, ""},
		{"2606:2800:220:1::1", dial.Policy{}, ""},
		{"127.0.0.1", dial.Policy{}, "loopback"},
		{"127.9.9.9", dial.Policy{Private: true}, "loopback"},
		{"127.0.0.1", everything, ""},
		{"::1", dial.Policy{}, "loopback"},
		{"::1", everything, ""},
		{"::ffff:127.0.0.1", dial.Policy{}, "loopback"},
		{"::127.0.0.1", dial.Policy{}, "loopback"},
		{"64:ff9b::10.0.0.1", dial.Policy{}, "private"},
		{"2002:7f00:1::", dial.Policy{}, "loopback"},
		{"64:ff9b::169.254.169.254", everything, "link-local"},
		{"10.1.2.3", dial.Policy{}, "private"},
		{"10.1.2.3", everything, ""},
		{"192.168.0.1", dial.Policy{Loopback: true}, "private"},
		{"100.64.1.1", dial.Policy{}, "private"},
		{"fd12::1", dial.Policy{}, "private"},
		{"169.254.169.254", everything, "link-local"},
		{"fe80::1", everything, "link-local"},
		{"fd00:ec2::254", everything, "cloud metadata"},
		{"100.100.100.200", everything, "cloud metadata"},
		{"224.0.0.1", everything, "link-local"},
		{"239.1.1.1", everything, "multicast"},
		{"ff05::1", everything, "multicast"},
		{"0.0.0.0", everything, "unspecified"},
		{"0.1.2.3", everything, "unspecified"},
		{"::", everything, "unspecified"},
		{"255.255.255.255", everything, "broadcast"},
		{"250.1.1.1", everything, "reserved"},
		{"64:ff9b::a9fe:a9fe%eth0", everything, "link-local"}, // a zone hides nothing
		{"fd00:ec2::254%1", everything, "cloud metadata"},
		{"fec0::1%1", dial.Policy{}, "private"},
		{"fec0::1", everything, ""},
		{"::ffff:0:10.0.0.1", dial.Policy{}, "private"},
		{"64:ff9b::93.184.216.34", dial.Policy{}, ""},
		{"64:ff9b:1::1", dial.Policy{}, "private"},
		{"2002:a9fe:a9fe::1", everything, "link-local"},
		{"168.63.129.16", everything, "cloud metadata"},
		{"192.0.0.192", everything, "cloud metadata"},
		{"192.0.0.1", dial.Policy{}, "private"},
		{"192.0.1.1", dial.Policy{}, ""},
		{"100.63.255.255", dial.Policy{}, ""},
		{"100.127.255.255", dial.Policy{}, "private"},
		{"100.128.0.0", dial.Policy{}, ""},
		{"198.17.255.255", dial.Policy{}, ""},
		{"198.18.0.1", dial.Policy{}, "private"},
		{"198.19.255.255", dial.Policy{}, "private"},
		{"198.20.0.0", dial.Policy{}, ""},
		{"172.31.255.255", dial.Policy{}, "private"},
		{"172.32.0.0", dial.Policy{}, ""},
	} {
		err := dial.New(tt.policy, dial.Options{}).Allow("host.example", netip.MustParseAddr(tt.addr))
		got := ""
		if refused, ok := errors.AsType[*dial.Refused](err); ok {
			got = refused.Kind
		}
		if got != tt.kind {
			t.Errorf("Allow(%s) under %+v refused as %q, want %q", tt.addr, tt.policy, got, tt.kind)
		}
	}
}

// answers is a resolver that gives each look-up the next answer of a list.
type answers struct {
	list [][]netip.Addr
	n    int
}

func (a *answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	got := a.list[min(a.n, len(a.list)-1)]
	a.n++
	return got, nil
}

// TestRebinding proves that the address that was examined is the one that is
// dialled: a name is looked up once.
func TestRebinding(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	loop := netip.MustParseAddr("127.0.0.1")
	resolver := &answers{list: [][]netip.Addr{{loop}, {netip.MustParseAddr("169.254.169.254")}}}
	conn, err := dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: resolver}).DialContext(t.Context(), "tcp", "evil.example:"+port)
	if err != nil {
		t.Fatalf("dial a name that is 127.0.0.1 at first: %v", err)
	}
	conn.Close()
	if resolver.n != 1 {
		t.Errorf("the name was looked up %d times, want 1", resolver.n)
	}

	resolver = &answers{list: [][]netip.Addr{{loop}}}
	_, err = dial.New(dial.Policy{}, dial.Options{Resolver: resolver}).DialContext(t.Context(), "tcp", "evil.example:"+port)
	refused, ok := errors.AsType[*dial.Refused](err)
	if !ok || refused.Kind != "loopback" || refused.Host != "evil.example" {
		t.Errorf("dial a name that is loopback without leave: got %v, want refused as loopback", err)
	}
}

// TestSecondAddress proves that a name with a refused and an allowed address
// still connects.
func TestSecondAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	resolver := &answers{list: [][]netip.Addr{{netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("127.0.0.1")}}}
	conn, err := dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: resolver}).DialContext(t.Context(), "tcp", "two.example:"+port)
	if err != nil {
		t.Fatalf("dial a name whose second address is allowed: %v", err)
	}
	conn.Close()
}

// TestAllowedAndDown proves that an outage is not hidden behind an address of
// the same name that may not be reached: the error is that of the allowed one.
func TestAllowedAndDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	link, meta, loop := netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("127.0.0.1")
	for _, list := range [][]netip.Addr{{link, loop}, {loop, link}} {
		_, err = dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: &answers{list: [][]netip.Addr{list}}}).DialContext(t.Context(), "tcp", "two.example:"+port)
		if _, refused := errors.AsType[*dial.Refused](err); refused || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial %v: got %v, want connection refused", list, err)
		}
	}
	_, err = dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: &answers{list: [][]netip.Addr{{link, meta}}}}).DialContext(t.Context(), "tcp", "two.example:"+port)
	if refused, ok := err.(*dial.Refused); !ok || refused.Addr != link { //nolint:errorlint // the very error
		t.Errorf("dial a name of which every address is refused: got %v", err)
	}
}

// TestNoAddress proves that a resolver that finds nothing and says nothing is
// a host that is not there.
func TestNoAddress(t *testing.T) {
	_, err := dial.New(dial.Policy{}, dial.Options{Resolver: &answers{list: [][]netip.Addr{nil}}}).DialContext(t.Context(), "tcp", "none.example:80")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsNotFound {
		t.Errorf("got %v, want no such host", err)
	}
}

// TestAllowIsCheap proves that looking at an address costs no memory: it is
// done for every connection.
func TestAllowIsCheap(t *testing.T) {
	d := dial.New(dial.Policy{}, dial.Options{})
	for _, addr := range []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("64:ff9b::93.184.216.34")} {
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Allow("host.example", addr); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("Allow(%s) allocates %v times", addr, n)
		}
	}
}

func TestOddForms(t *testing.T) {
	d := dial.New(dial.Policy{}, dial.Options{})
	for _, host := range []string{"2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0x7f000001", "1.", ""} {
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "80"))
		if err == nil || !strings.Contains(err.Error(), "usual form") {
			t.Errorf("dial %q: got %v, want a refusal of the form", host, err)
		}
	}
	if _, err := d.DialContext(t.Context(), "tcp", "host.example:99999"); err == nil || !strings.Contains(err.Error(), "65535") {
		t.Errorf("dial port 99999: got %v", err)
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("127.0.0.1")
	f.Add("::ffff:10.0.0.1")
	f.Add("0x7f.1")
	d := dial.New(dial.Policy{}, dial.Options{Resolver: &answers{list: [][]netip.Addr{nil}}})
	f.Fuzz(func(t *testing.T, host string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing is really dialled
		if _, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, "1")); err == nil {
			t.Errorf("dial %q connected under a cancelled context", host)
		}
	})
}

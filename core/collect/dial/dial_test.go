package dial_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
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
		if conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, "1")); err == nil && conn != nil {
			t.Errorf("dial %q connected under a cancelled context", host)
		}
	})
}

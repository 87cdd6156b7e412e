package wasm

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// LookupFunc answers a question to the DNS with records as [abi.DNSResponse]
// has them. The kind is one of those of [abi.DNSRequest].
type LookupFunc func(ctx context.Context, kind, name string) ([]string, error)

// lookup asks the resolver of the system.
func lookup(ctx context.Context, kind, name string) (out []string, err error) {
	resolver := net.DefaultResolver
	switch kind {
	case "A", "AAAA":
		family := map[string]string{"A": "ip4", "AAAA": "ip6"}[kind]
		addrs, err := resolver.LookupNetIP(ctx, family, name)
		for _, a := range addrs {
			out = append(out, a.Unmap().String())
		}
		return out, err
	case "CNAME":
		alias, err := resolver.LookupCNAME(ctx, name)
		if err == nil {
			out = append(out, alias)
		}
		return out, err
	case "MX":
		records, err := resolver.LookupMX(ctx, name)
		for _, m := range records {
			out = append(out, fmt.Sprintf("%d %s", m.Pref, m.Host))
		}
		return out, err
	case "NS":
		records, err := resolver.LookupNS(ctx, name)
		for _, n := range records {
			out = append(out, n.Host)
		}
		return out, err
	case "SRV":
		_, records, err := resolver.LookupSRV(ctx, "", "", name)
		for _, s := range records {
			out = append(out, fmt.Sprintf("%d %d %d %s", s.Priority, s.Weight, s.Port, s.Target))
		}
		return out, err
	}
	return resolver.LookupTXT(ctx, name)
}

// dns answers one question to the DNS.
func (r *run) dns(ctx context.Context, document []byte) any {
	began := time.Now()
	var q abi.DNSRequest
	var records []string
	grant := ""
	why := decode(document, &q)
	if why == nil {
		inner, cancel := within(ctx, min(max(q.TimeoutMS, 0), maxLookup.Milliseconds()))
		records, grant, why = r.resolve(inner, &q)
		cancel()
	}
	took := time.Since(began)
	r.askTime += took
	detail := q.Type + " " + q.Name
	if why != nil {
		r.note("dns", detail+": "+why.Error(), began, why.Code != abi.CodeDenied, "")
		return &abi.DNSResponse{DurationMS: millis(took), Error: r.masked(why)}
	}
	r.note("dns", fmt.Sprintf("%s: %d records", detail, len(records)), began, true, grant)
	return &abi.DNSResponse{Records: records, DurationMS: millis(took)}
}

func (r *run) resolve(ctx context.Context, q *abi.DNSRequest) (records []string, grant string, why *abi.CallError) {
	if !slices.Contains([]string{"A", "AAAA", "CNAME", "MX", "NS", "SRV", "TXT"}, q.Type) {
		return nil, "", problem(abi.CodeInvalid, "the type %s is not one of A, AAAA, CNAME, MX, NS, SRV, TXT", clean(q.Type, 40, false))
	}
	p, err := core.ParseDNSPattern(q.Name)
	if err != nil || strings.HasPrefix(p.Host, "*") {
		return nil, "", problem(abi.CodeInvalid, "%s is not a name", clean(q.Name, 200, false))
	}
	grant, ok := find(r.rights.dns, core.Pattern{Host: p.Host})
	if !ok || !r.open {
		return nil, "", problem(abi.CodeDenied, "dns %s is not granted; granted is %s", clean(q.Name, 200, false), r.has(texts(r.rights.dns)))
	}
	if r.dnsCalls >= r.limits.DNSCalls {
		return nil, "", problem(abi.CodeQuota, "the limit of %d dns calls is used up", r.limits.DNSCalls)
	}
	r.dnsCalls++
	ctx, cancel := context.WithTimeout(ctx, maxLookup)
	defer cancel()
	found, err := r.host.o.Lookup(ctx, q.Type, q.Name)
	if err != nil {
		return nil, "", explain(err)
	}
	for _, record := range found[:min(len(found), maxRecords)] {
		records = append(records, clean(record, maxText, false))
	}
	return records, grant, nil
}

// tlsInfo shows what a server says of itself in the handshake.
func (r *run) tlsInfo(ctx context.Context, document []byte) any {
	began := time.Now()
	var q abi.TLSRequest
	answer := &abi.TLSResponse{}
	why := decode(document, &q)
	if why == nil {
		inner, cancel := within(ctx, q.TimeoutMS)
		answer, why = r.shake(inner, &q)
		cancel()
	}
	took := time.Since(began)
	r.askTime += took
	if why != nil {
		answer = &abi.TLSResponse{Error: r.masked(why)}
		r.note("tls_info", q.Host+": "+why.Error(), began, why.Code != abi.CodeDenied, "")
	}
	answer.DurationMS = millis(took)
	return answer
}

func (r *run) shake(ctx context.Context, q *abi.TLSRequest) (*abi.TLSResponse, *abi.CallError) {
	began := time.Now()
	address := q.Host
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "443")
	}
	host, grant, why := r.endpoint(address)
	if why != nil {
		return nil, why
	}
	if q.ServerName != "" {
		if p, err := core.ParseDNSPattern(q.ServerName); err != nil || strings.HasPrefix(p.Host, "*") {
			return nil, problem(abi.CodeInvalid, "the server name %s is not a name", clean(q.ServerName, 200, false))
		}
		host = q.ServerName
	}
	plain, err := r.client.dial(ctx, "tcp", address)
	if err != nil {
		return nil, explain(err)
	}
	defer plain.Close()
	secured := tls.Client(plain, &tls.Config{
		ServerName: host, NextProtos: []string{"h2", "http/1.1"},
		InsecureSkipVerify: true,             //nolint:gosec // what is wrong with the certificate is what is asked
		MinVersion:         tls.VersionTLS10, // an old server is to be found out
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, explain(err)
	}
	state := secured.ConnectionState()
	answer := &abi.TLSResponse{Version: tls.VersionName(state.Version), CipherSuite: tls.CipherSuiteName(state.CipherSuite), ALPN: state.NegotiatedProtocol}
	chain := state.PeerCertificates
	if err := verify(chain, host); err != nil {
		answer.VerifyError = clean(err.Error(), maxSummary, false)
	} else {
		answer.Verified = true
	}
	for _, c := range chain[:min(len(chain), 10)] {
		answer.Certificates = append(answer.Certificates, described(c))
	}
	r.note("tls_info", address+": "+answer.Version, began, true, grant)
	return answer, nil
}

// verify holds a chain to the roots of the system and to the name of the host.
func verify(chain []*x509.Certificate, host string) error {
	if len(chain) == 0 {
		return fmt.Errorf("the server showed no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between})
	return err
}

func described(c *x509.Certificate) abi.Certificate {
	sum := sha256.Sum256(c.Raw)
	kind := c.PublicKeyAlgorithm.String()
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		kind += " " + key.Params().Name
	case *rsa.PublicKey:
		kind += fmt.Sprintf(" %d", key.N.BitLen())
	}
	names := make([]string, 0, len(c.DNSNames))
	for _, name := range c.DNSNames[:min(len(c.DNSNames), maxRecords)] {
		names = append(names, clean(name, 253, false))
	}
	return abi.Certificate{
		Subject: clean(c.Subject.String(), maxSummary, false), Issuer: clean(c.Issuer.String(), maxSummary, false), DNSNames: names,
		NotBefore: c.NotBefore.UTC().Format(time.RFC3339), NotAfter: c.NotAfter.UTC().Format(time.RFC3339),
		Serial: c.SerialNumber.Text(16), SHA256: hex.EncodeToString(sum[:]), KeyType: kind,
	}
}

package action

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/tocsin-io/tocsin/core"
)

// email sends mail by SMTP. It takes host, port (default 587, 465 with tls: tls,
// 25 with none), tls (starttls, tls or none; default starttls), username,
// password, from and to.
type email struct{ dial DialContext }

func tlsWords() []string { return []string{"starttls", "tls", "none"} }

func checkEmail(with map[string]any) core.Problems {
	out := fields(with, []string{"from", "host", "password", "port", "tls", "to", "username"}, []string{"from", "host", "to"})
	bad := func(path, message, fix string) {
		out = append(out, core.Problem{Path: path, Code: "email", Message: message, Fix: fix})
	}
	for _, name := range []string{"from", "host"} {
		if v, ok := with[name]; ok && !isText(v) {
			bad(name, "is not text", "")
		}
	}
	if _, ok := recipients(with["to"]); !ok && with["to"] != nil {
		bad("to", "is not an address, nor a list of addresses", "write for example to: [oncall@example.com]")
	}
	if v, ok := with["port"]; ok {
		if n, isNumber := portOf(v); !isNumber || n < 1 || n > 65535 {
			bad("port", fmt.Sprintf("%v is not a port", v), "write 1 to 65535")
		}
	}
	word, _ := with["tls"].(string)
	if v, ok := with["tls"]; ok && !slices.Contains(tlsWords(), word) {
		bad("tls", fmt.Sprintf("%q is none of the ways", fmt.Sprint(v)), "there are "+strings.Join(tlsWords(), ", "))
	}
	if v, ok := with["password"]; ok && !isSecret(v) {
		bad("password", "is not a reference to a secret", "store it with 'tocsin secret set NAME' and write password: {secret: NAME}")
	}
	if with["password"] != nil && word == "none" {
		bad("tls", "a password would be sent in clear text", "write tls: starttls or tls")
	}
	return out
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

func portOf(v any) (int, bool) {
	switch n := v.(type) {
	case int:
		return n, true
	case int64:
		return int(n), true
	case uint64:
		return int(min(n, 1<<20)), true
	case float64:
		return int(n), n == float64(int(n))
	}
	return 0, false
}

func recipients(v any) ([]string, bool) {
	switch x := v.(type) {
	case string:
		return []string{x}, true
	case []any:
		var out []string
		for _, item := range x {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			out = append(out, text)
		}
		return out, len(out) > 0
	}
	return nil, false
}

// mailID names a message after what it is about, so that mail programs put
// messages about one problem together.
func mailID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:16]) + "@tocsin.invalid"
}

func (*email) message(with map[string]any, m Message) (*mail.Msg, error) {
	from, _ := with["from"].(string)
	to, _ := recipients(with["to"])
	msg := mail.NewMsg()
	if err := msg.From(from); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(to...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	msg.Subject(m.Title)
	msg.SetMessageIDWithValue(mailID(m.Key))
	msg.SetGenHeader("References", "<"+mailID(m.Episode)+">")
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("Idempotency-Key", m.Key)
	msg.SetDateWithValue(m.At)
	msg.SetBodyString(mail.TypeTextPlain, m.Body+"\n")
	return msg, nil
}

// wrapped is dial with TLS around the connection; the mail library does that
// for its own dialer alone.
func wrapped(dial DialContext, host string) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(plain, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return conn, nil
	}
}

func (e *email) send(ctx context.Context, with map[string]any, m Message) error {
	msg, err := e.message(with, m)
	if err != nil {
		return &RefusedError{Reason: err.Error()}
	}
	dial := e.dial
	if dial == nil {
		dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("the network is closed to mail here")
		}
	}
	word, _ := with["tls"].(string)
	options := []mail.Option{mail.WithDialContextFunc(mail.DialContextFunc(dial)), mail.WithHELO("tocsin.invalid")}
	host, _ := with["host"].(string)
	port := 587
	switch word {
	case "tls":
		port = 465
		options = append(options, mail.WithSSL(), mail.WithDialContextFunc(wrapped(dial, host)))
	case "none":
		port = 25
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if n, ok := portOf(with["port"]); ok {
		port = n
	}
	options = append(options, mail.WithPort(port))
	if user, _ := with["username"].(string); user != "" {
		password, _ := with["password"].(string)
		auth := mail.SMTPAuthAutoDiscover
		if word == "tls" { // the library does not see that the connection is encrypted
			auth = mail.SMTPAuthPlain
		}
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(user), mail.WithPassword(password))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return &RefusedError{Reason: "mail: " + err.Error()}
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if refused, ok := errors.AsType[*mail.SendError](err); ok && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return &RefusedError{Reason: "the mail server refused it: " + refused.Error()}
	}
	if err != nil {
		return fmt.Errorf("send mail by %s: %w", host, err)
	}
	return nil
}

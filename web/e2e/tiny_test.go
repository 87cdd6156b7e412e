package e2e_test

import (
	"encoding/json"
	"testing"

	"github.com/tocsin-io/tocsin/core"
)

// tiny assembles a module that answers with always the same response, as a
// compiler would: what is tested here is what people see of modules, and not
// what they compute. spin makes it compute for a long time first.
func tiny(t *testing.T, m core.Manifest, response map[string]any, spin bool) []byte {
	t.Helper()
	m.ABI = "tocsin/1"
	m.Offers = []string{"collector"}
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	leb := func(n int) []byte {
		var out []byte
		for {
			b := byte(n & 0x7f)
			if n >>= 7; n == 0 {
				return append(out, b)
			}
			out = append(out, b|0x80)
		}
	}
	vec := func(items ...[]byte) []byte {
		out := leb(len(items))
		for _, it := range items {
			out = append(out, it...)
		}
		return out
	}
	join := func(parts ...[]byte) []byte {
		var out []byte
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	name := func(s string) []byte { return append(leb(len(s)), s...) }
	section := func(id byte, body []byte) []byte { return join([]byte{id}, leb(len(body)), body) }
	sized := func(n int) []byte { // signed LEB128 of a number that is not negative
		var out []byte
		for {
			b := byte(n & 0x7f)
			n >>= 7
			if n == 0 && b&0x40 == 0 {
				return append(out, b)
			}
			out = append(out, b|0x80)
		}
	}
	body := []byte{0}
	if spin {
		body = append(body, 0x03, 0x40, 0x0c, 0x00, 0x0b) // loop br 0 end
	}
	body = join(body, []byte{0x41, 0}, []byte{0x41}, sized(len(text)), []byte{0x10, 0, 0x41, 0, 0x0b})
	return join([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vec([]byte{0x60, 2, 0x7f, 0x7f, 0}, []byte{0x60, 0, 1, 0x7f})),
		section(2, vec(join(name("tocsin_v1"), name("output_write"), []byte{0, 0}))),
		section(3, vec([]byte{1}, []byte{1})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(join(name("memory"), []byte{2, 0}), join(name("tocsin_abi_v1"), []byte{0, 1}), join(name("tocsin_collect"), []byte{0, 2}))),
		section(10, vec(append(leb(4), 0, 0x41, 0, 0x0b), append(leb(len(body)), body...))),
		section(11, vec(join([]byte{0, 0x41, 0, 0x0b}, name(string(text))))),
		section(0, join(name("tocsin.manifest"), manifest)))
}

package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// write appends p in block style, indented by indent spaces. We write YAML
// ourselves because the library loses white space and control characters at
// the edges of text, and a manifest must read back as it was.
func (p pairs) write(out []byte, indent int) []byte {
	for i, pair := range p {
		if i > 0 || indent == 0 || out[len(out)-1] == '\n' {
			out = append(out, spaces(indent)...)
		}
		out = append(out, quoted(pair.key)...)
		out = append(out, ':')
		switch v := pair.value.(type) {
		case pairs:
			if len(v) > 0 {
				out = v.write(append(out, '\n'), indent+2)
				continue
			}
		case []any:
			if len(v) > 0 {
				out = writeList(append(out, '\n'), v, indent+2)
				continue
			}
		}
		out = writeScalar(append(out, ' '), pair.value, indent+2)
	}
	return out
}

func writeList(out []byte, list []any, indent int) []byte {
	for i, item := range list {
		if i > 0 || out[len(out)-1] == '\n' {
			out = append(out, spaces(indent)...)
		}
		out = append(out, "- "...)
		switch v := item.(type) {
		case pairs:
			if len(v) > 0 {
				out = v.write(out, indent+2)
				continue
			}
		case []any:
			if len(v) > 0 {
				out = writeList(out, v, indent+2)
				continue
			}
		}
		out = writeScalar(out, item, indent+2)
	}
	return out
}

// writeScalar appends what has no parts, and the end of the line.
func writeScalar(out []byte, value any, indent int) []byte {
	switch v := value.(type) {
	case nil:
		out = append(out, "null"...)
	case pairs:
		out = append(out, "{}"...)
	case []any:
		out = append(out, "[]"...)
	case string:
		if isBlock(v) {
			return writeBlock(out, v, indent)
		}
		out = append(out, quoted(v)...)
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if whole, exponent, _ := strings.Cut(text, "e"); !strings.Contains(whole, ".") {
			text = whole + ".0" // without a point it would read back as an integer or text
			if exponent != "" {
				text += "e" + exponent
			}
		}
		out = append(out, text...)
	default:
		out = fmt.Append(out, v)
	}
	return append(out, '\n')
}

// isBlock reports whether text reads well, and reads back exactly, as a
// literal block.
func isBlock(text string) bool {
	body := strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\n") || body == "" {
		return false
	}
	for line := range strings.SplitSeq(body, "\n") {
		if line != strings.TrimRight(line, " ") || strings.ContainsFunc(line, unprintable) {
			return false
		}
	}
	return body[0] != ' ' && body[0] != '\n' && !strings.HasSuffix(body, "\n")
}

func writeBlock(out []byte, text string, indent int) []byte {
	body, ended := strings.CutSuffix(text, "\n")
	out = append(out, '|')
	if !ended {
		out = append(out, '-')
	}
	out = append(out, '\n')
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" {
			out = append(append(out, spaces(indent)...), line...)
		}
		out = append(out, '\n')
	}
	return out
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// quoted is text as it stands when nothing in it can be taken for anything but
// text, else in double quotes.
func quoted(text string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	bare := text != "" && (unicode.IsLetter(rune(text[0])) || text[0] == '_' || text[0] == '/') && text[0] < unicode.MaxASCII &&
		!strings.ContainsFunc(text, unprintable) && !strings.Contains(text, ": ") && !strings.Contains(text, " #") &&
		!strings.HasSuffix(text, ":") && !strings.HasSuffix(text, " ") && !slices.Contains(words, strings.ToLower(text))
	if bare {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func spaces(n int) string { return strings.Repeat(" ", n) }

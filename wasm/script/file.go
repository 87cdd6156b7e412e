package script

import (
	"bytes"
	"encoding/json"
	"strings"
)

// mark begins the first line of the file of a script that was written with a
// form: the manifest follows on the same line. The rest of the file is the
// source.
const mark = "// tocsin/1 {"

// Join is the file of a script: its source, and what it says of itself besides.
func Join(manifest json.RawMessage, source string) []byte {
	_, source = Split([]byte(source))
	if len(manifest) == 0 {
		return []byte(source)
	}
	var out bytes.Buffer
	out.WriteString(strings.TrimSuffix(mark, "{"))
	if err := json.Compact(&out, manifest); err != nil {
		return []byte(source) // it is not JSON and would be no manifest
	}
	out.WriteByte('\n')
	out.WriteString(source)
	return out.Bytes()
}

// Split takes a file apart. The manifest is nil when the source says all.
func Split(file []byte) (manifest json.RawMessage, source string) {
	first, rest, ok := bytes.Cut(file, []byte("\n"))
	if !ok || !bytes.HasPrefix(first, []byte(mark)) {
		return nil, string(file)
	}
	manifest = bytes.TrimSpace(first[len(mark)-1:])
	if !json.Valid(manifest) {
		return nil, string(file)
	}
	return manifest, string(rest)
}

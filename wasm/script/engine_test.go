package script_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/tocsin-io/tocsin/wasm/script"
)

// The interpreter that is embedded is the file of the package that is pinned.
func TestEngine(t *testing.T) {
	want, err := os.ReadFile("engine/node_modules/quickjs-wasi/quickjs.wasm")
	if errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") != "" { //nolint:forbidigo // where everything must be there, a test does not skip
			t.Fatal("run npm ci in wasm/script/engine first")
		}
		t.Skip("the npm package quickjs-wasi is not installed: run make engine")
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(script.Engine(), want) {
		t.Error("engine/quickjs.wasm.gz is not the file of the package: run make engine")
	}
}

// A file holds what its form says besides the source, and gives both back.
func TestFile(t *testing.T) {
	const source = "// tocsin/1 is not a mark\nexport default () => 1\n"
	if m, s := script.Split([]byte(source)); m != nil || s != source {
		t.Errorf("Split = %s, %q", m, s)
	}
	file := script.Join([]byte("{\n \"name\": \"a\"\n}"), source)
	m, s := script.Split(file)
	if string(m) != `{"name":"a"}` || s != source {
		t.Errorf("Split = %s, %q, want the manifest and the source", m, s)
	}
	if again := script.Join([]byte(`{"name":"b"}`), string(file)); !bytes.HasPrefix(again, []byte(`// tocsin/1 {"name":"b"}`)) || bytes.Count(again, []byte("tocsin/1 {")) != 1 {
		t.Errorf("Join over a file = %s", again)
	}
	if none := script.Join(nil, string(file)); string(none) != source {
		t.Errorf("Join without a manifest = %s", none)
	}
}

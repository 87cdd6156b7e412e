package examples_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

var update = flag.Bool("update", false, "build the modules anew")

const (
	packed = "collectors/queue-depth/queue-depth.wasm.gz"
	sum    = "collectors/queue-depth/queue-depth.wasm.sum"
)

// sources are the files that the module is made of.
func sources(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	var files []string
	for _, pattern := range []string{"collectors/queue-depth/*.go", "../wasm/guest/*.go", "../wasm/abi/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.ToSlash(name), len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// build makes the module from its source, as its README says.
func build(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "queue-depth.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = "collectors/queue-depth"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBuiltCopyBelongsToSource(t *testing.T) {
	want := sources(t)
	if *update {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if _, err := w.Write(build(t)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(packed, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sum, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(sum)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != want {
		t.Errorf("%s is older than its source; run: go test ./examples -run Built -update", packed)
	}
}

// Both the embedded copy and a fresh build answer for a queue in each state.
func TestQueueDepth(t *testing.T) {
	embedded, err := examples.QueueDepth()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"embedded": embedded}
	if !testing.Short() {
		files["built"] = build(t)
		rehearses(t, "collectors/queue-depth", files["built"])
	}
	queue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, r.URL.Query().Get("say"))
	}))
	defer queue.Close()
	host, err := wasm.New(wasm.Options{DialPrivate: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Close(context.Background()) }()
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			manifest, err := host.Inspect(t.Context(), file)
			if err != nil {
				t.Fatalf("Inspect: %v", err)
			}
			if manifest.Name != "queue-depth" || len(manifest.Samples) != 3 || !strings.Contains(string(manifest.Schema), `"required":["url"]`) {
				t.Errorf("Inspect = %+v, schema %s", manifest, manifest.Schema)
			}
			grant := core.Grant{HTTP: []string{queue.URL}, Private: true, Limits: manifest.Wants.Limits}
			module, err := host.Load(t.Context(), core.Module{Name: "queue-depth", Manifest: manifest, Grant: grant}, file)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			defer func() { _ = module.Close(context.Background()) }()
			ask(t, module, queue.URL)
		})
	}
}

func ask(t *testing.T, module *wasm.Module, base string) {
	t.Helper()
	say := func(json string) string { return base + "/?say=" + strings.ReplaceAll(json, `"`, "%22") }
	for _, c := range []struct {
		url     string
		outcome core.Outcome
		summary string
	}{
		{say(`{"depth":12,"consumers":3,"oldest_seconds":1.5}`), core.Pass, "12 messages wait for 3 consumers"},
		{say(`{"depth":120,"consumers":3}`), core.Warn, "120 messages wait, the warning is at 100"},
		{say(`{"depth":2000,"consumers":3}`), core.Fail, "2000 messages wait, the most is 1000"},
		{say(`{"depth":2,"consumers":0}`), core.Fail, "0 consumers, at least 1 are needed; 2 messages wait"},
		{say(`{"depth":2,"consumers":1,"oldest_seconds":61}`), core.Fail, "the oldest message waits for 61 s, the most is 60 s"},
		{base + "/broken", core.Fail, base + "/broken answered 502"},
		{"http://192.0.2.1/", core.Error, ""},
	} {
		got := module.Collect(t.Context(), core.RunContext{}, map[string]any{"url": c.url, "max_age_seconds": 60})
		if got.Outcome != c.outcome || c.summary != "" && got.Summary != c.summary {
			t.Errorf("Collect of %s = %s %q %+v, want %s %q", c.url, got.Outcome, got.Summary, got.Why, c.outcome, c.summary)
		}
		if c.outcome == core.Pass {
			if got.Samples["depth"] != int64(12) || got.Samples["consumers"] != int64(3) || got.Samples["oldest_seconds"] != 1.5 {
				t.Errorf("Collect of %s: samples %v", c.url, got.Samples)
			}
			if most := int64(4_000_000); got.Usage.Fuel > most {
				t.Errorf("Collect of %s computed %d instructions, want at most %d: what all runs do alike is done before they begin", c.url, got.Usage.Fuel, most)
			}
			t.Logf("usage %+v", *got.Usage)
		}
	}
}

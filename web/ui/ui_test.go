package ui_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/web/ui"
)

// built is dist/BUILD.json, as the build writes it.
type built struct {
	Inputs   string            `json:"inputs"`
	Versions map[string]string `json:"versions"`
	Outputs  map[string]output `json:"outputs"`
}

type output struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Gzip   int64  `json:"gzip"`
}

func readBuild(t *testing.T) built {
	t.Helper()
	text, err := os.ReadFile("dist/BUILD.json")
	if err != nil {
		t.Fatal(err)
	}
	var b built
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// files lists what is below root, with slashes, in order.
func files(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestFresh fails when somebody changed the source and did not build, or
// changed what was built. It needs no Node, so it runs everywhere.
func TestFresh(t *testing.T) {
	b := readBuild(t)
	inputs := []string{"app/build-info.js", "app/package.json", "app/package-lock.json", "app/tsconfig.json", "app/vite.config.ts"}
	inputs = append(inputs, files(t, "app/src")...)
	inputs = append(inputs, files(t, "app/public")...)
	inputs = slices.DeleteFunc(inputs, regexp.MustCompile(`\.test\.tsx?$`).MatchString)
	slices.Sort(inputs)
	sum := sha256.New()
	for _, name := range inputs {
		fmt.Fprintf(sum, "%s\x00%s\n", strings.TrimPrefix(name, "app/"), digest(t, name))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != b.Inputs {
		t.Errorf("dist is stale, run make ui: the source has hash %.12s, dist was built from %.12s", got, b.Inputs)
	}
	for _, name := range files(t, "dist") {
		short := strings.TrimPrefix(name, "dist/")
		if short == "BUILD.json" {
			continue
		}
		known, ok := b.Outputs[short]
		switch {
		case !ok:
			t.Errorf("dist is stale, run make ui: %s is not of this build", short)
		case digest(t, name) != known.SHA256:
			t.Errorf("dist is stale, run make ui: %s is not as it was built", short)
		}
		delete(b.Outputs, short)
	}
	for name := range b.Outputs {
		t.Errorf("dist is stale, run make ui: %s is missing", name)
	}
}

// TestBudget holds the build to the sizes that were promised, compressed, in
// bytes: a page must stay quick on a slow line.
func TestBudget(t *testing.T) {
	const kb = 1024
	b := readBuild(t)
	first := map[string]int64{}
	var total int64
	for name, o := range b.Outputs {
		total += o.Bytes
		ext := filepath.Ext(name)
		lazy := strings.HasPrefix(name, "page-") || strings.HasPrefix(name, "editor.") || strings.HasPrefix(name, "chart.")
		switch {
		case slices.Contains([]string{"app.js", "base.js", "app.css", "base.css"}, name):
			first[ext] += o.Gzip
		case strings.HasPrefix(name, "editor.") && o.Gzip > 140*kb:
			t.Errorf("%s has %d bytes, the most is %d", name, o.Gzip, 140*kb)
		case strings.HasPrefix(name, "script.") && o.Gzip > 60*kb:
			t.Errorf("%s has %d bytes, the most is %d", name, o.Gzip, 60*kb)
		case lazy && !strings.HasPrefix(name, "editor.") && o.Gzip > 30*kb:
			t.Errorf("%s has %d bytes, the most is %d", name, o.Gzip, 30*kb)
		}
	}
	for ext, most := range map[string]int64{".js": 45 * kb, ".css": 8 * kb} {
		if first[ext] == 0 || first[ext] > most {
			t.Errorf("the first page needs %d bytes of %s, the most is %d", first[ext], ext, most)
		}
	}
	if most := int64(1200 * kb); total > most {
		t.Errorf("dist has %d bytes, the most is %d", total, most)
	}
	t.Logf("first page: %d bytes of script, %d of style; all of dist: %d", first[".js"], first[".css"], total)
}

func ask(t *testing.T, h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPage is about the page that every path of the application gets.
func TestPage(t *testing.T) {
	h := ui.Handler(ui.Options{Boot: func(*http.Request) any {
		return map[string]any{"me": map[string]string{"user": "</script><script>alert(1)</script>"}}
	}})
	nonces := map[string]bool{}
	nonce := regexp.MustCompile(`'nonce-([^']+)'`)
	for _, target := range []string{"/", "/systems/a", "/rules/x/trace?q=1", "/no/such/page"} {
		res := ask(t, h, http.MethodGet, target)
		text := res.Body.String()
		if res.Code != http.StatusOK || res.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d with Cache-Control %q, want 200 and no-store", target, res.Code, res.Header().Get("Cache-Control"))
		}
		policy := res.Header().Get("Content-Security-Policy")
		m := nonce.FindStringSubmatch(policy)
		if m == nil {
			t.Fatalf("%s: no nonce in the policy %q", target, policy)
		}
		if nonces[m[1]] {
			t.Errorf("%s: the nonce %s was used before", target, m[1])
		}
		nonces[m[1]] = true
		for _, bad := range []string{"unsafe-inline", "unsafe-eval", "*", "http:"} {
			if strings.Contains(policy, bad) {
				t.Errorf("%s: the policy %q holds %s", target, policy, bad)
			}
		}
		for _, good := range []string{"default-src 'none'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, good) {
				t.Errorf("%s: the policy %q lacks %s", target, policy, good)
			}
		}
		if strings.Count(text, "<script") != strings.Count(text, `nonce="`+m[1]+`"`) {
			t.Errorf("%s: a script has no nonce:\n%s", target, text)
		}
		if strings.Contains(text, "alert(1)</script>") {
			t.Errorf("%s: what the page is told can leave its element:\n%s", target, text)
		}
		if !strings.Contains(text, `src="`+ui.Prefix+ui.Build()+`/app.js"`) {
			t.Errorf("%s: the page does not name the script of this build:\n%s", target, text)
		}
	}
}

// TestTheme is in the page from its first byte, and only when it is one.
func TestTheme(t *testing.T) {
	h := ui.Handler(ui.Options{})
	for cookie, want := range map[string]string{
		"tocsin_theme=dark":                `data-theme="dark"`,
		"tocsin_theme=light":               `data-theme="light"`,
		"tocsin_theme=system":              "",
		`tocsin_theme="><script>x`:         "",
		"tocsin_theme=dark%22 onload=%22x": "",
	} {
		text := ask(t, h, http.MethodGet, "/", "Cookie", cookie).Body.String()
		got := regexp.MustCompile(`data-theme="[^"]*"`).FindString(text)
		if got != want {
			t.Errorf("cookie %s: got %q, want %q", cookie, got, want)
		}
	}
}

// TestBoot is what the page is told: the build is always part of it.
func TestBoot(t *testing.T) {
	h := ui.Handler(ui.Options{Build: "abc", Boot: func(r *http.Request) any {
		return struct {
			Path string `json:"path"`
		}{r.URL.Path}
	}})
	text := ask(t, h, http.MethodGet, "/rules").Body.String()
	m := regexp.MustCompile(`(?s)<script type="application/json" id="boot"[^>]*>(.*?)</script>`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no boot facts in the page:\n%s", text)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(m[1]), &got); err != nil {
		t.Fatalf("decode %s: %v", m[1], err)
	}
	if got["build"] != "abc" || got["path"] != "/rules" {
		t.Errorf("got %v, want build abc and path /rules", got)
	}
	broken := ui.Handler(ui.Options{Boot: func(*http.Request) any { return "not an object" }})
	if res := ask(t, broken, http.MethodGet, "/"); res.Code != http.StatusInternalServerError {
		t.Errorf("with facts that are no object: got %d, want 500", res.Code)
	}
}

// TestFiles are kept for ever under the prefix of this build, and not at all
// under another.
func TestFiles(t *testing.T) {
	h := ui.Handler(ui.Options{})
	this, other := ui.Prefix+ui.Build()+"/", ui.Prefix+"000000000000/"
	for _, c := range []struct {
		name, target, accept string
		status               int
		cache, kind, coding  string
	}{
		{"script", this + "app.js", "gzip, br", 200, "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", "gzip"},
		{"script, plain", this + "app.js", "", 200, "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", ""},
		{"gzip refused", this + "app.js", "gzip;q=0", 200, "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", ""},
		{"style", this + "app.css", "gzip;q=0.5", 200, "public, max-age=31536000, immutable", "text/css; charset=utf-8", "gzip"},
		{"font is compressed already", this + "inter.woff2", "gzip", 200, "public, max-age=31536000, immutable", "font/woff2", ""},
		{"of an older build", other + "app.js", "", 200, "no-store", "text/javascript; charset=utf-8", ""},
		{"gone", other + "page-old.js", "", 410, "no-store", "text/plain; charset=utf-8", ""},
		{"never was", this + "nothing.js", "", 404, "", "text/plain; charset=utf-8", ""},
		{"out of the folder", this + "../ui.go", "", 404, "", "text/plain; charset=utf-8", ""},
		{"the folder", this, "", 404, "", "text/plain; charset=utf-8", ""},
		{"favicon", "/favicon.ico", "", 404, "", "text/plain; charset=utf-8", ""},
	} {
		res := ask(t, h, http.MethodGet, c.target, "Accept-Encoding", c.accept)
		if res.Code != c.status || res.Header().Get("Cache-Control") != c.cache || res.Header().Get("Content-Type") != c.kind || res.Header().Get("Content-Encoding") != c.coding {
			t.Errorf("%s: got %d %q %q %q, want %d %q %q %q", c.name, res.Code, res.Header().Get("Cache-Control"), res.Header().Get("Content-Type"), res.Header().Get("Content-Encoding"),
				c.status, c.cache, c.kind, c.coding)
		}
		if res.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: browsers may guess its type", c.name)
		}
	}
}

// TestGzip is the same file, smaller.
func TestGzip(t *testing.T) {
	h := ui.Handler(ui.Options{})
	target := ui.Prefix + ui.Build() + "/app.js"
	packed := ask(t, h, http.MethodGet, target, "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want := ask(t, h, http.MethodGet, target).Body.String(); string(got) != want {
		t.Errorf("unpacked it has %d bytes, plain %d", len(got), len(want))
	}
}

// TestMethods are two.
func TestMethods(t *testing.T) {
	h := ui.Handler(ui.Options{})
	if res := ask(t, h, http.MethodPost, "/"); res.Code != http.StatusMethodNotAllowed || res.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q", res.Code, res.Header().Get("Allow"))
	}
	res := ask(t, h, http.MethodHead, "/")
	if text := res.Body.String(); res.Code != http.StatusOK || text != "" || res.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: got %d with %d bytes, Content-Length %s", res.Code, len(text), res.Header().Get("Content-Length"))
	}
}

// TestNothingFromElsewhere looks for addresses of other machines in what is
// served: Tocsin works where there is no way out.
func TestNothingFromElsewhere(t *testing.T) {
	// Names of namespaces, and addresses that pages show as examples or as
	// links for people, are never fetched.
	harmless := regexp.MustCompile(`^https?://(www\.w3\.org|[a-z0-9.-]*example\.com|localhost|127\.0\.0\.1|lezer\.codemirror\.net|codemirror\.net|preactjs\.com)\b`)
	address := regexp.MustCompile(`https?://[A-Za-z0-9.-]+\.[A-Za-z]{2,}`)
	for _, name := range files(t, "dist") {
		if ext := filepath.Ext(name); ext != ".js" && ext != ".css" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range address.FindAllString(string(text), -1) {
			if !harmless.MatchString(found) {
				t.Errorf("%s names %s", name, found)
			}
		}
	}
}

func ExampleHandler() {
	h := ui.Handler(ui.Options{Boot: func(*http.Request) any { return map[string]any{"demo": true} }})
	server := httptest.NewServer(h)
	defer server.Close()
	res, err := http.Get(server.URL + "/rules/new")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode, res.Header.Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

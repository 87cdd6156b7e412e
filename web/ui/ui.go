// Package ui serves the single-page interface: its built files are embedded,
// so that one binary is the whole product.
//
// The files under app are the source, in TypeScript; dist is what npm run build
// makes of them and is committed, so that nobody needs Node to build Tocsin. A
// test of this package fails when dist is older than its source.
//
// Files have stable names and are served under a prefix that changes with every
// build, so that browsers may keep them for ever. The page itself is rendered
// for every request: it names the prefix, carries a nonce, and begins with the
// facts that the page needs at once.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

//go:embed index.html.tmpl
var page string

// Prefix is where the built files are served: Prefix + build + "/" + name.
const Prefix = "/_ui/"

// Options of a [Handler]. Zero Options work.
type Options struct {
	// Build names this build in the page; the socket tells it to browsers, and
	// one that runs another build offers to reload. Default [Build].
	Build string
	// Boot returns what the page should know at once, for example who is signed
	// in: an object that is written into the page as JSON. Default nothing.
	Boot func(*http.Request) any
	// Logger is told of pages that could not be rendered. Default discards.
	Logger *slog.Logger
}

// Build is the short hash of the embedded build: 12 hex digits of the SHA-256
// of its BUILD.json.
func Build() string {
	text, err := dist.ReadFile("dist/BUILD.json")
	if err != nil {
		return "none"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:12]
}

// Handler serves the interface: the page at every path but those below
// [Prefix], where its files are. It answers GET and HEAD only. A file asked for
// under the prefix of another build is served without being kept, so that a
// page that is open while the server is updated goes on; one that no longer
// exists is Gone.
func Handler(o Options) http.Handler {
	files, err := load()
	if err != nil {
		panic(fmt.Sprintf("the embedded interface cannot be read: %v", err)) // part of the binary: it is whole or it is not
	}
	if o.Build == "" {
		o.Build = Build()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &handler{o: o, build: Build(), files: files, page: template.Must(template.New("page").Parse(page))}
}

type handler struct {
	o     Options
	build string
	files map[string]*file
	page  *template.Template
}

// file is one built file, compressed once when that makes it smaller.
type file struct {
	kind  string
	plain []byte
	gzip  []byte
}

func load() (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		plain, err := dist.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		f := &file{kind: kindOf(name), plain: plain}
		if f.gzip, err = compress(plain); err != nil {
			return fmt.Errorf("compress %s: %w", name, err)
		}
		files[strings.TrimPrefix(name, "dist/")] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk the built files: %w", err)
	}
	return files, nil
}

// kindOf does not ask the machine for types: they would differ from one to the
// next, and a script with a wrong type is not run.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".woff2":
		return "font/woff2"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// compress returns nil when it does not pay.
func compress(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	if b.Len() > len(plain)*9/10 {
		return nil, nil
	}
	return b.Bytes(), nil
}

// ServeHTTP serves a built file or the page.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page; only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if rest, ok := strings.CutPrefix(r.URL.Path, Prefix); ok {
		h.serveFile(w, r, rest)
		return
	}
	if r.URL.Path == "/favicon.ico" || r.URL.Path == "/robots.txt" {
		http.NotFound(w, r) // browsers ask for these whatever the page says
		return
	}
	h.servePage(w, r)
}

func (h *handler) serveFile(w http.ResponseWriter, r *http.Request, rest string) {
	build, name, _ := strings.Cut(rest, "/")
	f, ok := h.files[name]
	switch {
	case !ok && build == h.build:
		http.NotFound(w, r)
		return
	case !ok:
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "this file was part of an older version; reload the page", http.StatusGone)
		return
	case build == h.build:
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Content-Type", f.kind)
	body := f.plain
	if f.gzip != nil {
		w.Header().Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			w.Header().Set("Content-Encoding", "gzip")
			body = f.gzip
		}
	}
	h.write(w, r, body)
}

// acceptsGzip reads an Accept-Encoding header: gzip or * without a weight of
// zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, weighted := strings.Cut(strings.TrimSpace(part), ";")
		if coding = strings.TrimSpace(coding); coding != "gzip" && coding != "*" {
			continue
		}
		if !weighted {
			return true
		}
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
		return err == nil && q > 0
	}
	return false
}

// servePage renders the page. Which place of the application the path means is
// for its script to say, so every path gets the same page.
func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	nonce := newNonce()
	boot, err := h.boot(r)
	if err != nil {
		h.o.Logger.ErrorContext(r.Context(), "render the page", slog.Any("err", err))
		http.Error(w, "the page could not be made; the server's log says why", http.StatusInternalServerError)
		return
	}
	var b bytes.Buffer
	err = h.page.Execute(&b, map[string]any{
		"Files": Prefix + h.build + "/",
		"Nonce": nonce,
		"Theme": theme(r),
		"Boot":  template.JS(boot), //nolint:gosec // JSON of encoding/json, in which <, > and & are escaped
	})
	if err != nil {
		h.o.Logger.ErrorContext(r.Context(), "render the page", slog.Any("err", err))
		http.Error(w, "the page could not be made; the server's log says why", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", policy(nonce))
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.write(w, r, b.Bytes())
}

// boot is the JSON of what the page should know at once.
func (h *handler) boot(r *http.Request) ([]byte, error) {
	facts := map[string]any{}
	if h.o.Boot != nil {
		text, err := json.Marshal(h.o.Boot(r))
		if err != nil {
			return nil, fmt.Errorf("encode what the page should know: %w", err)
		}
		if err := json.Unmarshal(text, &facts); err != nil {
			return nil, fmt.Errorf("what the page should know is not an object: %w", err)
		}
	}
	if facts == nil {
		facts = map[string]any{}
	}
	facts["build"] = h.o.Build
	text, err := json.Marshal(facts)
	if err != nil {
		return nil, fmt.Errorf("encode what the page should know: %w", err)
	}
	return text, nil
}

// policy allows the page what it needs and nothing else: its own files, its own
// server, style elements with the nonce of the page (editors add some), and the
// icon of the tab, which is a data address. Nothing may turn text into markup
// or script: there is no Trusted Types policy to do it with.
func policy(nonce string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'nonce-" + nonce + "'",
		"style-src 'self' 'nonce-" + nonce + "'",
		"font-src 'self'",
		"img-src 'self' data:",
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

// theme is what the person chose, "" for the theme of their system. It is in
// the page from its first byte, so that nothing flashes.
func theme(r *http.Request) string {
	c, err := r.Cookie("tocsin_theme")
	if err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func newNonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		h.o.Logger.DebugContext(r.Context(), "send a page", slog.Any("err", err)) // the browser went away
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
)

// endpoint is what a running server leaves in its data directory, readable by
// its owner only, so that commands on the same machine find it.
type endpoint struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

const endpointFile = "endpoint.json"

// writeEndpoint leaves e in dir.
func writeEndpoint(dir string, e endpoint) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write the endpoint: %w", err)
	}
	path := filepath.Join(dir, endpointFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("write the endpoint: %w", err)
	}
	return os.Rename(path+".new", path)
}

// serverFlags say which server a command talks to.
type serverFlags struct{ server, token, data string }

func (f *serverFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.server, "server", os.Getenv("TOCSIN_SERVER"), "address of the server (or TOCSIN_SERVER)")
	cmd.Flags().StringVar(&f.token, "token", os.Getenv("TOCSIN_TOKEN"), "access token (or TOCSIN_TOKEN)")
	cmd.Flags().StringVar(&f.data, "data", defaultData, "data directory of a server on this machine, when --server is not given")
	cmd.Flags().Lookup("token").DefValue = "" // not into the help
}

// client talks to a server.
type client struct {
	base, token string
	http        *http.Client
}

func (f *serverFlags) client() (*client, error) {
	c := &client{base: strings.TrimSuffix(f.server, "/"), token: f.token, http: &http.Client{Timeout: 5 * time.Minute}}
	if c.base != "" {
		if u, err := url.Parse(c.base); err != nil || u.Host == "" {
			return nil, usageError{fmt.Errorf("--server %q is not an address such as http://127.0.0.1:8420", f.server)}
		}
		return c, nil
	}
	text, err := os.ReadFile(filepath.Join(f.data, endpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no server has run with the data directory %s; start one with 'tocsin serve', or name one with --data or --server", f.data)
	}
	if err != nil {
		return nil, fmt.Errorf("find the server: %w", err)
	}
	var e endpoint
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("find the server in %s: %w", filepath.Join(f.data, endpointFile), err)
	}
	c.base = e.URL
	if c.token == "" {
		c.token = e.Token
	}
	return c, nil
}

// problem is an error answer of the server.
type problem struct {
	Status int           `json:"status"`
	Title  string        `json:"title"`
	Detail string        `json:"detail"`
	Errors core.Problems `json:"errors"`
}

// do sends body and decodes the answer into out, unless out is nil.
func (c *client) do(ctx context.Context, method, path, contentType string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the server at %s: %w", c.base, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return refusal(resp.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = text
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

func refusal(status int, text []byte) error {
	var p problem
	if err := json.Unmarshal(text, &p); err != nil || p.Status == 0 {
		return fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
	}
	if len(p.Errors) > 0 {
		return p.Errors
	}
	if status == http.StatusUnauthorized {
		return fmt.Errorf("the server does not know this token: %s", p.Detail)
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return errors.New(p.Detail)
}

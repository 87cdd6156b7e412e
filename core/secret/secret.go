// Package secret seals secrets at rest, resolves references to them and masks
// their values in text.
//
// A value is sealed with XChaCha20-Poly1305 under one key of 32 bytes; the name
// of the secret is authenticated with it, so that a sealed value cannot be
// moved under another name. The key lives in a file beside the database, or
// comes from wherever the operator keeps it; without the key the stored bytes
// say nothing.
package secret

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// KeySize is the length of a key in bytes.
const KeySize = chacha20poly1305.KeySize

// MaxValue is the longest value of a secret, in bytes.
const MaxValue = 64 << 10

// minMask is the shortest value that is masked in text: masking shorter ones
// would blot out ordinary words.
const minMask = 4

// Masked stands for a value in text.
const Masked = "••••••"

// KeyFile reads the key in hex from path, and makes one there, readable by its
// owner only, when there is none. A key that it made is on disk when it
// returns: whatever is sealed under it can be opened after a crash.
func KeyFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if errors.Is(err, os.ErrNotExist) {
		key := make([]byte, KeySize)
		rand.Read(key)
		err := makeKeyFile(path, hex.EncodeToString(key)+"\n")
		if errors.Is(err, os.ErrExist) {
			return KeyFile(path) // another process was quicker
		}
		if err != nil {
			return nil, fmt.Errorf("write the key of secrets: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of secrets: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("the key of secrets in %s must be %d bytes in hex", path, KeySize)
	}
	return key, nil
}

// makeKeyFile writes a file that must not be there yet; nobody ever sees it
// half written.
func makeKeyFile(path, text string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir) //nolint:gosec // the directory of the file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Vault keeps secrets in a store. It is safe for concurrent use.
type Vault struct {
	aead  cipher.AEAD
	store store.Secrets

	mu    sync.RWMutex
	known map[string]string // guarded by mu: opened values by name
	masks map[string]bool   // guarded by mu: every text to mask, also of values that are no more
}

// New is a Vault over a store, under key.
func New(key []byte, s store.Secrets) (*Vault, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("use the key of secrets: %w", err)
	}
	return &Vault{aead: aead, store: s, known: map[string]string{}, masks: map[string]bool{}}, nil
}

// Load opens every stored secret, so that [Vault.Mask] knows their values from
// the start and [Vault.Value] waits for no disk. It can be called again when
// another process may have changed some; what is gone stays masked.
func (v *Vault) Load(ctx context.Context) error {
	names, err := v.store.SecretNames(ctx)
	if err != nil {
		return fmt.Errorf("list secrets: %w", err)
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
		sealed, err := v.store.Secret(ctx, name)
		if errors.Is(err, store.ErrNotFound) { // deleted between the two reads
			delete(known, name)
			continue
		}
		if err != nil {
			return fmt.Errorf("read secret %q: %w", name, err)
		}
		value, err := v.open(name, sealed)
		if err != nil {
			return err
		}
		v.remember(name, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.known, func(name, _ string) bool { return !known[name] })
	return nil
}

// Put seals value and stores it under name. A value that it replaces stays
// masked until the process ends.
func (v *Vault) Put(ctx context.Context, name, value, by string, now time.Time) error {
	if err := core.CheckName(name); err != nil {
		return err
	}
	if value == "" || len(value) > MaxValue {
		return fmt.Errorf("the value of secret %q must have 1 to %d bytes, not %d", name, MaxValue, len(value))
	}
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(value)+v.aead.Overhead())
	rand.Read(nonce)
	sealed := v.aead.Seal(nonce, nonce, []byte(value), []byte(name))
	if err := v.store.PutSecret(ctx, name, sealed, by, now); err != nil {
		return fmt.Errorf("store secret %q: %w", name, err)
	}
	v.remember(name, value)
	return nil
}

// Delete forgets the secret called name. Its value stays masked until the
// process ends.
func (v *Vault) Delete(ctx context.Context, name string) error {
	if err := v.store.DeleteSecret(ctx, name); err != nil {
		return fmt.Errorf("delete secret %q: %w", name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, name)
	return nil
}

// Names of all secrets, in order.
func (v *Vault) Names(ctx context.Context) ([]string, error) { return v.store.SecretNames(ctx) }

// Value of the secret called name; the error says how to make one that is
// missing.
func (v *Vault) Value(name string) (string, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	value, ok := v.known[name]
	if !ok {
		return "", fmt.Errorf("there is no secret %q; set it with: tocsin secret set %s", name, name)
	}
	return value, nil
}

// Mask replaces every known value in text, as it is and in the forms it takes
// in URLs and in JSON. Where values overlap or hold each other, all of what any
// of them covers is replaced. Values shorter than 4 bytes are left: they could
// be any word.
func (v *Vault) Mask(text string) string {
	type span struct{ from, to int }
	var spans []span
	v.mu.RLock()
	for value := range v.masks {
		for from := 0; ; {
			i := strings.Index(text[from:], value)
			if i < 0 {
				break
			}
			spans = append(spans, span{from + i, from + i + len(value)})
			from += i + 1 // a value may overlap itself
		}
	}
	v.mu.RUnlock()
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out strings.Builder
	done := 0 // of text
	for i, s := range spans {
		if i == 0 || s.from >= done {
			out.WriteString(text[done:s.from] + Masked)
		}
		done = max(done, s.to)
	}
	out.WriteString(text[done:])
	return out.String()
}

func (v *Vault) open(name string, sealed []byte) (string, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return "", fmt.Errorf("open secret %q: it is cut short", name)
	}
	value, err := v.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return "", fmt.Errorf("open secret %q: it was sealed under another key; give this process the secret.key that it was sealed with: %w", name, err)
	}
	return string(value), nil
}

func (v *Vault) remember(name, value string) {
	forms := []string{value, strings.TrimSpace(value), url.QueryEscape(value), url.PathEscape(value)}
	if text, err := json.Marshal(value); err == nil {
		forms = append(forms, string(text[1:len(text)-1]))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[name] = value
	for _, form := range forms {
		if len(value) >= minMask && len(form) >= minMask {
			v.masks[form] = true
		}
	}
}

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
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
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
// owner only, when there is none.
func KeyFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key := make([]byte, KeySize)
		rand.Read(key) //nolint:errcheck // never fails
		if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
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

// Vault keeps secrets in a store. It is safe for concurrent use.
type Vault struct {
	aead  cipher.AEAD
	store store.Secrets

	mu    sync.RWMutex
	known map[string]string // guarded by mu: opened values by name
}

// New is a Vault over a store, under key.
func New(key []byte, s store.Secrets) (*Vault, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("use the key of secrets: %w", err)
	}
	return &Vault{aead: aead, store: s, known: map[string]string{}}, nil
}

// Load opens every stored secret, so that [Vault.Mask] knows their values from
// the start and [Vault.Value] waits for no disk.
func (v *Vault) Load(ctx context.Context) error {
	names, err := v.store.SecretNames(ctx)
	if err != nil {
		return fmt.Errorf("list secrets: %w", err)
	}
	for _, name := range names {
		sealed, err := v.store.Secret(ctx, name)
		if err != nil {
			return fmt.Errorf("read secret %q: %w", name, err)
		}
		value, err := v.open(name, sealed)
		if err != nil {
			return err
		}
		v.remember(name, value)
	}
	return nil
}

// Put seals value and stores it under name.
func (v *Vault) Put(ctx context.Context, name, value, by string, now time.Time) error {
	if err := core.CheckName(name); err != nil {
		return err
	}
	if value == "" || len(value) > MaxValue {
		return fmt.Errorf("the value of secret %q must have 1 to %d bytes, not %d", name, MaxValue, len(value))
	}
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(value)+v.aead.Overhead())
	rand.Read(nonce) //nolint:errcheck // never fails
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
	v.known["\x00"+name] = v.known[name] // still masked, no longer found
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

// Mask replaces every known value in text. Values shorter than 4 bytes are
// left: they could be any word.
func (v *Vault) Mask(text string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, value := range v.known {
		if len(value) >= minMask && strings.Contains(text, value) {
			text = strings.ReplaceAll(text, value, Masked)
		}
	}
	return text
}

func (v *Vault) open(name string, sealed []byte) (string, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return "", fmt.Errorf("open secret %q: it is cut short", name)
	}
	value, err := v.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return "", fmt.Errorf("open secret %q: it was sealed under another key: %w", name, err)
	}
	return string(value), nil
}

func (v *Vault) remember(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[name] = value
}

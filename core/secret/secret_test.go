package secret_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core/secret"
	"github.com/tocsin-io/tocsin/core/store"
)

// shelf is store.Secrets in a map.
type shelf map[string][]byte

func (s shelf) PutSecret(_ context.Context, name string, sealed []byte, _ string, _ time.Time) error {
	s[name] = sealed
	return nil
}

func (s shelf) Secret(_ context.Context, name string) ([]byte, error) {
	if sealed, ok := s[name]; ok {
		return sealed, nil
	}
	return nil, store.ErrNotFound
}

func (s shelf) SecretNames(context.Context) ([]string, error) {
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (s shelf) DeleteSecret(_ context.Context, name string) error {
	delete(s, name)
	return nil
}

func vault(t *testing.T, path string, s shelf) *secret.Vault {
	t.Helper()
	key, err := secret.KeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := secret.New(key, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	path, s, now := filepath.Join(t.TempDir(), "secret.key"), shelf{}, time.Now()
	v := vault(t, path, s)
	if err := v.Put(t.Context(), "token", "hunter2-hunter2", "ada", now); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(s["token"], []byte("hunter2")) {
		t.Error("the stored bytes hold the value")
	}
	again := vault(t, path, s)
	if err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if value, err := again.Value("token"); err != nil || value != "hunter2-hunter2" {
		t.Errorf("after a restart: %q, %v", value, err)
	}
	if got := again.Mask("Authorization: hunter2-hunter2!"); got != "Authorization: "+secret.Masked+"!" {
		t.Errorf("masked: %q", got)
	}
	if err := again.Delete(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Value("token"); err == nil || !strings.Contains(err.Error(), "tocsin secret set token") {
		t.Errorf("a deleted secret: %v", err)
	}
	if got := again.Mask("hunter2-hunter2"); got != secret.Masked {
		t.Errorf("a deleted value is not masked any more: %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v", info.Mode(), err)
	}
}

func TestWrongKeyAndMoved(t *testing.T) {
	s := shelf{}
	v := vault(t, filepath.Join(t.TempDir(), "a"), s)
	if err := v.Put(t.Context(), "token", "some value", "ada", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := vault(t, filepath.Join(t.TempDir(), "b"), s).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("load under another key: %v", err)
	}
	s["other"] = s["token"]
	if err := v.Load(t.Context()); err == nil {
		t.Error("a sealed value moved under another name was opened")
	}
	for _, bad := range []string{"", strings.Repeat("x", secret.MaxValue+1)} {
		if err := v.Put(t.Context(), "n", bad, "", time.Now()); err == nil {
			t.Errorf("a value of %d bytes was accepted", len(bad))
		}
	}
	bad := filepath.Join(t.TempDir(), "k")
	os.WriteFile(bad, []byte("zz"), 0o600)
	if _, err := secret.KeyFile(bad); err == nil || !strings.Contains(err.Error(), "32 bytes in hex") {
		t.Errorf("a bad key file: %v", err)
	}
}

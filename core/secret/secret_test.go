package secret_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	if err := os.WriteFile(bad, []byte("zz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.KeyFile(bad); err == nil || !strings.Contains(err.Error(), "32 bytes in hex") {
		t.Errorf("a bad key file: %v", err)
	}
}

// TestMask proves that no part of a value is left in text, whichever values
// there are besides and however it is written.
func TestMask(t *testing.T) {
	const m = secret.Masked
	v := vault(t, filepath.Join(t.TempDir(), "key"), shelf{})
	for name, value := range map[string]string{
		"short": "pass", "long": "pass-phrase", "inner": "phra", "left": "abcXYZ", "right": "XYZdef", "tiny": "abc",
		"odd": "a b/c&\"d\"\n", "self": "xyxyx", "line": "from-a-file\n",
	} {
		if err := v.Put(t.Context(), name, value, "ada", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"nothing here, abc", "nothing here, abc"},
		{"pass-phrase", m},
		{"<pass-phrase|pass>", "<" + m + "|" + m + ">"},
		{"passpass", m + m},
		{"abcXYZdef.", m + "."},
		{"xyxyxyx", m},
		{"GET /?q=a+b%2Fc%26%22d%22%0A&n=1", "GET /?q=" + m + "&n=1"},
		{"GET /a%20b%2Fc&%22d%22%0A/x", "GET /" + m + "/x"},
		{`{"v":"a b/c\u0026\"d\"\n"}`, `{"v":"` + m + `"}`},
		{"Bearer from-a-file", "Bearer " + m},
	} {
		for range 10 { // maps have no order
			if got := v.Mask(tt.text); got != tt.want {
				t.Errorf("Mask(%q) is %q, want %q", tt.text, got, tt.want)
				break
			}
		}
	}
}

// TestReplaced proves that the values a secret had before stay masked.
func TestReplaced(t *testing.T) {
	v := vault(t, filepath.Join(t.TempDir(), "key"), shelf{})
	for _, value := range []string{"first-value", "second-value"} {
		if err := v.Put(t.Context(), "token", value, "ada", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Delete(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(t.Context(), "token", "third-value", "ada", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := v.Mask("first-value second-value third-value"); strings.Contains(got, "value") {
		t.Errorf("masked: %q", got)
	}
	if value, err := v.Value("token"); err != nil || value != "third-value" {
		t.Errorf("the value is %q, %v", value, err)
	}
}

// TestKeyFileRace proves that processes that begin at once end up with one key,
// and leave nothing else behind.
func TestKeyFileRace(t *testing.T) {
	dir := t.TempDir()
	keys := make([][]byte, 8)
	var wait sync.WaitGroup
	for i := range keys {
		wait.Go(func() {
			key, err := secret.KeyFile(filepath.Join(dir, "key"))
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wait.Wait()
	want, err := secret.KeyFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !bytes.Equal(key, want) {
			t.Error("two keys were given out")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

//nolint:thelper // tests, not helpers: a failure is told at its own line
package storetest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) access() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"modules":           s.testModules,
		"sessions":          s.testSessions,
		"sessions/one link": s.testTakeLinkOnce,
		"secrets":           s.testSecrets,
	}
}

func (s suite) testModules(t *testing.T) {
	b, dir := s.freshIn(t)
	put := func(version, digest string, at int, active bool) core.Module {
		m := core.Module{
			Name: "lag", Version: version, Digest: digest, Size: 4, Active: active, Created: minute(at), By: "ann",
			Manifest: core.Manifest{ABI: "tocsin/1", Name: "lag", Version: version, Offers: []string{"collector"}},
			Grant:    core.Grant{HTTP: []string{"https://a.example:443"}},
		}
		must(t, "put module "+version, b.PutModule(t.Context(), m, []byte("file"+digest)))
		return m
	}
	one := put("1", "aa", 1, true)
	two := put("2", "bb", 2, false)
	put("2", "bb", 2, false) // the same again
	copied := put("3", "aa", 3, false)
	list := func() []core.Module {
		all, err := b.Modules(t.Context())
		must(t, "modules", err)
		return all
	}
	equal(t, "modules", list(), []core.Module{copied, two, one})
	other := two
	other.Digest = "cc"
	wantError(t, "same version, other file", b.PutModule(t.Context(), other, []byte("x")), store.ErrConflict)
	_, err := b.ModuleFile(t.Context(), "cc")
	wantError(t, "file of a refused module", err, store.ErrNotFound)

	must(t, "activate", b.Activate(t.Context(), "lag", "2", core.Grant{Private: true}))
	wantError(t, "activate nothing", b.Activate(t.Context(), "lag", "9", core.Grant{}), store.ErrNotFound)
	one.Active, two.Active, two.Grant = false, true, core.Grant{Private: true}
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	equal(t, "modules", list(), []core.Module{copied, two, one})

	wantError(t, "delete the one in use", b.DeleteModule(t.Context(), "lag", "2"), store.ErrConflict)
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "1"))
	wantError(t, "delete twice", b.DeleteModule(t.Context(), "lag", "1"), store.ErrNotFound)
	file, err := b.ModuleFile(t.Context(), "aa")
	if err != nil || string(file) != "fileaa" {
		t.Errorf("the file is %q (%v), want it kept: version 3 has the same", file, err)
	}
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "3"))
	_, err = b.ModuleFile(t.Context(), "aa")
	wantError(t, "file of no module", err, store.ErrNotFound)
	must(t, "delete the only one", b.DeleteModule(t.Context(), "lag", "2"))
	if left := list(); len(left) != 0 {
		t.Errorf("left are %v, want none", left)
	}
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (s suite) testSessions(t *testing.T) {
	b := s.fresh(t)
	in := store.Session{Hash: hash("a"), Kind: "session", User: "ann", Role: "admin", Created: minute(0), Expires: minute(10), Used: minute(0)}
	must(t, "put", b.PutSession(t.Context(), in))
	got, err := b.Session(t.Context(), hash("a"), minute(9))
	must(t, "session", err)
	equal(t, "session", got, in)
	_, err = b.Session(t.Context(), hash("a"), minute(10))
	wantError(t, "expired session", err, store.ErrNotFound)
	_, err = b.Session(t.Context(), hash("b"), minute(1))
	wantError(t, "unknown session", err, store.ErrNotFound)
	must(t, "touch", b.Touch(t.Context(), hash("a"), minute(9), minute(19)))
	got, err = b.Session(t.Context(), hash("a"), minute(18))
	if err != nil || !got.Used.Equal(minute(9)) || !got.Expires.Equal(minute(19)) {
		t.Errorf("touched session is %+v (%v), want used at 9 until 19", got, err)
	}
	wantError(t, "touch nothing", b.Touch(t.Context(), hash("b"), minute(9), minute(19)), store.ErrNotFound)
	token := store.Session{Hash: hash("t"), Kind: "token", User: "ci", Role: "viewer", Created: minute(0)}
	must(t, "put token", b.PutSession(t.Context(), token))
	got, err = b.Session(t.Context(), hash("t"), minute(1_000_000))
	must(t, "token that never expires", err)
	equal(t, "token", got, token)
	must(t, "end", b.EndSession(t.Context(), hash("a")))
	_, err = b.Session(t.Context(), hash("a"), minute(1))
	wantError(t, "ended session", err, store.ErrNotFound)
	link := store.Session{Hash: hash("l"), Kind: "link", User: "ann", Created: minute(0), Expires: minute(10)}
	must(t, "put link", b.PutSession(t.Context(), link))
	_, err = b.Session(t.Context(), hash("l"), minute(1))
	wantError(t, "a link as a session", err, store.ErrNotFound)
	_, err = b.TakeLink(t.Context(), hash("l"), minute(11))
	wantError(t, "expired link", err, store.ErrNotFound)
	_, err = b.TakeLink(t.Context(), hash("t"), minute(1))
	wantError(t, "a token as a link", err, store.ErrNotFound)
}

func (s suite) testTakeLinkOnce(t *testing.T) {
	b := s.fresh(t)
	must(t, "put", b.PutSession(t.Context(), store.Session{Hash: hash("l"), Kind: "link", User: "ann", Role: "admin", Created: minute(0), Expires: minute(10)}))
	var taken atomic.Int32
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			link, err := b.TakeLink(t.Context(), hash("l"), minute(1))
			if err == nil && link.User == "ann" && link.Role == "admin" {
				taken.Add(1)
				return
			}
			wantError(t, "late taker", err, store.ErrNotFound)
		})
	}
	group.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("the link was taken %d times, want once", n)
	}
}

func (s suite) testSecrets(t *testing.T) {
	b, dir := s.freshIn(t)
	must(t, "put", b.PutSecret(t.Context(), "db", []byte{0, 1, 2}, "ann", minute(1)))
	must(t, "put", b.PutSecret(t.Context(), "api", []byte{9}, "ann", minute(1)))
	must(t, "put again", b.PutSecret(t.Context(), "db", []byte{3}, "bob", minute(2)))
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	got, err := b.Secret(t.Context(), "db")
	must(t, "secret", err)
	equal(t, "secret", got, []byte{3})
	names, err := b.SecretNames(t.Context())
	must(t, "names", err)
	equal(t, "names", names, []string{"api", "db"})
	must(t, "delete", b.DeleteSecret(t.Context(), "db"))
	wantError(t, "delete twice", b.DeleteSecret(t.Context(), "db"), store.ErrNotFound)
	_, err = b.Secret(t.Context(), "db")
	wantError(t, "deleted secret", err, store.ErrNotFound)
}

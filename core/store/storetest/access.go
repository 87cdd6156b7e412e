//nolint:thelper // tests, not helpers: a failure is told at its own line
package storetest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) access() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"sessions":          s.testSessions,
		"sessions/one link": s.testTakeLinkOnce,
		"secrets":           s.testSecrets,
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

package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

// How long sign-in lasts.
const (
	SessionIdle = 12 * time.Hour     // without a request
	SessionAge  = 7 * 24 * time.Hour // in all
	LinkAge     = time.Hour          // until a link is used

	touchAfter = time.Minute
)

// The kinds of a store.Session.
const (
	kindLink    = "link"
	kindSession = "session"
	kindToken   = "token"
)

const cookieName = "tocsin_session"

// NewLink mints a link that signs in once, as user with a role. The secret
// goes into /login?link=SECRET; only its hash is stored.
func NewLink(ctx context.Context, sessions store.Sessions, user, role string) (secret string, err error) {
	now := time.Now()
	return mint(ctx, sessions, store.Session{Kind: kindLink, User: user, Role: role, Created: now, Expires: now.Add(LinkAge)})
}

// NewToken mints a token for tools, sent as "Authorization: Bearer SECRET". A
// zero expires is never.
func NewToken(ctx context.Context, sessions store.Sessions, user, role string, expires time.Time) (secret string, err error) {
	return mint(ctx, sessions, store.Session{Kind: kindToken, User: user, Role: role, Created: time.Now(), Expires: expires})
}

// mint stores a session under a new secret of 128 bits or more.
func mint(ctx context.Context, sessions store.Sessions, s store.Session) (string, error) {
	if _, ok := parseRole(s.Role); !ok {
		return "", fmt.Errorf("mint a %s: %q is not a role; one of viewer, operator, editor, admin", s.Kind, s.Role)
	}
	secret := rand.Text()
	s.Hash, s.Used = hash(secret), s.Created
	if err := sessions.PutSession(ctx, s); err != nil {
		return "", fmt.Errorf("mint a %s: %w", s.Kind, err)
	}
	return secret, nil
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// caller is who makes a request.
type caller struct {
	wire.Me
	right  Right
	hash   []byte
	bearer bool
}

// session names the caller's session, as sockets are counted by it.
func (c *caller) session() string { return hex.EncodeToString(c.hash) }

type callerKey struct{}

// who is the caller of a request that was let in, nil on public routes.
func who(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// errAnonymous is returned for a request that proves nothing.
var errAnonymous = errors.New("nobody is signed in")

// authenticate finds out who makes a request.
func (s *server) authenticate(r *http.Request) (*caller, error) {
	secret, bearer := "", false
	if text := r.Header.Get("Authorization"); text != "" {
		scheme, rest, _ := strings.Cut(text, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, errAnonymous
		}
		secret, bearer = strings.TrimSpace(rest), true
	} else if c, err := r.Cookie(cookieName); err == nil {
		secret = c.Value
	}
	if secret == "" || len(secret) > 256 {
		return nil, errAnonymous
	}
	now := time.Now()
	found, err := s.Sessions.Session(r.Context(), hash(secret), now)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errAnonymous
	}
	if err != nil {
		return nil, fmt.Errorf("find the session: %w", err)
	}
	right, ok := parseRole(found.Role)
	if !ok || found.Kind == kindLink || (found.Kind == kindToken) != bearer || overAge(found, now) {
		return nil, errAnonymous
	}
	s.touch(r.Context(), found, now)
	return &caller{wire.Me{User: found.User, Role: found.Role}, right, found.Hash, bearer}, nil
}

func overAge(found store.Session, now time.Time) bool {
	return found.Kind == kindSession && now.After(found.Created.Add(SessionAge))
}

// touch moves the expiry of a session that is used, at most once a minute.
func (s *server) touch(ctx context.Context, found store.Session, now time.Time) {
	if now.Sub(found.Used) < touchAfter {
		return
	}
	expires := found.Expires
	if found.Kind == kindSession {
		expires = sessionEnd(found.Created, now)
	}
	if err := s.Sessions.Touch(ctx, found.Hash, now, expires); err != nil {
		s.Logger.WarnContext(ctx, "touch a session", slog.Any("err", err))
	}
}

// sessionEnd is when a session ends that is used now.
func sessionEnd(created, now time.Time) time.Time {
	idle, age := now.Add(SessionIdle), created.Add(SessionAge)
	if idle.Before(age) {
		return idle
	}
	return age
}

// guard lets through who has the right.
func (s *server) guard(need Right, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.authenticate(r)
		if need > Public {
			switch {
			case errors.Is(err, errAnonymous):
				s.stranger(w, r)
				return
			case err != nil:
				s.refuse(w, r, err)
				return
			case c.right < need:
				s.refuse(w, r, failure(http.StatusForbidden, fmt.Sprintf("this needs the role %s, and %s has the role %s", need, c.User, c.Role)))
				return
			}
		}
		if c != nil {
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		}
		next.ServeHTTP(w, r)
	})
}

// stranger answers who is not signed in. Wrong secrets are counted by address,
// missing ones are not: a page whose session ended asks often.
func (s *server) stranger(w http.ResponseWriter, r *http.Request) {
	_, err := r.Cookie(cookieName)
	if (r.Header.Get("Authorization") != "" || err == nil) && !s.limiter.allow(s.address(r)) {
		w.Header().Set("Retry-After", "60")
		s.refuse(w, r, failure(http.StatusTooManyRequests, "too many wrong tokens from this address; try again in a minute"))
		return
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	s.refuse(w, r, failure(http.StatusUnauthorized, "nobody is signed in; open the link that the server printed when it started, or one from 'tocsin login-link'"))
}

// address is whom a request comes from: the peer, or what a proxy that is
// believed says of it.
func (s *server) address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.believed(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr
}

func (s *server) believed(addr netip.Addr) bool {
	for _, p := range s.o.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// secure reports whether the browser speaks TLS, to us or to a proxy that is
// believed.
func (s *server) secure(r *http.Request) bool {
	if r.TLS != nil || s.o.Secure {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.believed(peer.Addr().Unmap()) && r.Header.Get("X-Forwarded-Proto") == "https"
}

// cookie is the session cookie. It is Lax and not Strict: the link that signs
// in is opened from elsewhere, and a Strict cookie would not be sent with the
// redirect that follows. Requests that change something are protected besides,
// see [http.CrossOriginProtection].
func (s *server) cookie(r *http.Request, secret string, age time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // secure when the browser can send it back at all
		Name: cookieName, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.secure(r), MaxAge: int(age.Seconds()),
	}
}

// signIn turns a link into a session.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	link, err := s.Sessions.TakeLink(r.Context(), hash(r.URL.Query().Get("link")), now)
	if err != nil {
		return fmt.Errorf("take a link: %w", err)
	}
	secret, err := mint(r.Context(), s.Sessions, store.Session{
		Kind: kindSession, User: link.User, Role: link.Role, Created: now, Expires: sessionEnd(now, now),
	})
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(r, secret, SessionAge))
	s.Logger.InfoContext(r.Context(), "signed in", slog.String("user", link.User), slog.String("role", link.Role), slog.String("address", s.address(r).String()))
	return nil
}

// signOut ends the caller's session and its sockets.
func (s *server) signOut(ctx context.Context) error {
	c := who(ctx)
	if err := s.Sessions.EndSession(ctx, c.hash); err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	s.Hub.EndSession(c.session())
	s.Logger.InfoContext(ctx, "signed out", slog.String("user", c.User))
	return nil
}

// socket opens the live socket.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	c := who(r.Context())
	err := s.Hub.Serve(w, r, live.Peer{
		Me: c.Me, Session: c.session(), Bearer: c.bearer,
		Alive: func(ctx context.Context) bool { return s.alive(ctx, c.hash) },
	})
	var refused *live.RefusedError
	switch {
	case errors.As(err, &refused):
		if refused.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "15")
		}
		s.refuse(w, r, failure(refused.Status, refused.Reason))
	case err != nil:
		s.Logger.DebugContext(r.Context(), "open a socket", slog.Any("err", err))
	}
}

// alive reports whether a session still lets its holder in. A fault of the
// storage ends no session.
func (s *server) alive(ctx context.Context, hash []byte) bool {
	now := time.Now()
	found, err := s.Sessions.Session(ctx, hash, now)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	return err != nil || !overAge(found, now)
}

package web

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Right is what a caller must be to use a route.
type Right int

// The rights, each of which includes those before it.
const (
	Public Right = iota // anybody
	Viewer
	Operator
	Editor
	Admin
)

// String is the name of the role that has the right.
func (r Right) String() string {
	return [...]string{"public", "viewer", "operator", "editor", "admin"}[r]
}

// parseRole is the right that a role gives; false for a word that is no role.
func parseRole(role string) (Right, bool) {
	for r := Viewer; r <= Admin; r++ {
		if r.String() == role {
			return r, true
		}
	}
	return Public, false
}

// Routes is the table of every route and the right that it needs. A route that
// is not here is not served: [New] fails.
func Routes() map[string]Right {
	return map[string]Right{
		// Pages and the health of the process.
		"/":            Public, // files of the UI; they hold no data
		"GET /login":   Public,
		"GET /healthz": Public,
		"GET /readyz":  Public,
		"GET /metrics": Admin,

		// What is not there is not told to strangers either.
		"/api/":                 Viewer,
		"GET /api/openapi.json": Viewer,
		"GET /api/live":         Viewer,

		"GET /api/v1/me":       Viewer,
		"POST /api/v1/logout":  Viewer,
		"GET /api/v1/instance": Viewer,
		"GET /api/v1/limits":   Viewer,
		"GET /api/v1/nodes":    Viewer,

		"GET /api/v1/fleet":                 Viewer,
		"GET /api/v1/systems":               Viewer,
		"POST /api/v1/systems":              Editor,
		"GET /api/v1/systems/{id}":          Viewer,
		"PUT /api/v1/systems/{id}":          Editor,
		"DELETE /api/v1/systems/{id}":       Editor,
		"GET /api/v1/systems/{id}/detail":   Viewer,
		"GET /api/v1/systems/{id}/timeline": Viewer,

		"GET /api/v1/assignments/{id}/latency":  Viewer,
		"POST /api/v1/assignments/{id}/run":     Editor,
		"POST /api/v1/assignments/{id}/enable":  Editor,
		"POST /api/v1/assignments/{id}/disable": Editor,

		"GET /api/v1/checks":           Viewer,
		"POST /api/v1/checks":          Editor,
		"POST /api/v1/checks/validate": Viewer,
		"GET /api/v1/checks/{id}":      Viewer,
		"PUT /api/v1/checks/{id}":      Editor,
		"DELETE /api/v1/checks/{id}":   Editor,
		"GET /api/v1/collectors":       Viewer,

		"GET /api/v1/rules":                Viewer,
		"POST /api/v1/rules":               Editor,
		"POST /api/v1/rules/validate":      Viewer,
		"POST /api/v1/rules/expr":          Viewer,
		"POST /api/v1/rules/backtest":      Viewer,
		"GET /api/v1/rules/env":            Viewer,
		"GET /api/v1/rules/{id}":           Viewer,
		"PUT /api/v1/rules/{id}":           Editor,
		"DELETE /api/v1/rules/{id}":        Editor,
		"GET /api/v1/rules/{id}/decisions": Viewer,
		"GET /api/v1/rules/{id}/state":     Viewer,
		"GET /api/v1/rules/{id}/explain":   Viewer,
		"GET /api/v1/decisions/{id}":       Viewer,

		"GET /api/v1/firings":                 Viewer,
		"GET /api/v1/firings/{id}":            Viewer,
		"POST /api/v1/firings/{id}/cancel":    Editor,
		"GET /api/v1/deliveries":              Viewer,
		"POST /api/v1/deliveries/{id}/resend": Editor,

		"GET /api/v1/modules":                                     Viewer,
		"POST /api/v1/modules":                                    Editor,
		"GET /api/v1/examples":                                    Viewer,
		"POST /api/v1/examples/{name}":                            Editor,
		"GET /api/v1/modules/{name}":                              Viewer,
		"POST /api/v1/modules/{name}/test":                        Editor,
		"POST /api/v1/modules/{name}/rollback":                    Editor,
		"PUT /api/v1/modules/{name}/aliases/{alias}":              Editor,
		"DELETE /api/v1/modules/{name}/aliases/{alias}":           Editor,
		"PUT /api/v1/modules/{name}/canary":                       Editor,
		"DELETE /api/v1/modules/{name}/canary":                    Editor,
		"POST /api/v1/modules/{name}/canary/promote":              Editor,
		"POST /api/v1/modules/{name}/versions/{version}/grant":    Editor,
		"POST /api/v1/modules/{name}/versions/{version}/activate": Editor,
		"DELETE /api/v1/modules/{name}/versions/{version}":        Editor,
		"GET /api/v1/modules/{name}/versions/{version}/file":      Viewer,

		"GET /api/v1/scripts/api":       Viewer,
		"POST /api/v1/scripts":          Editor,
		"POST /api/v1/scripts/validate": Editor, // it evaluates the script
		"POST /api/v1/scripts/test":     Editor,

		"GET /api/v1/runs":                        Viewer,
		"GET /api/v1/runs/{id}":                   Viewer,
		"GET /api/v1/runs/{id}/recordings/{step}": Editor, // what targets answered
		"POST /api/v1/runs/{id}/replay":           Editor,
		"GET /api/v1/transitions":                 Viewer,

		"GET /api/v1/maintenances":          Viewer,
		"POST /api/v1/maintenances":         Editor,
		"GET /api/v1/maintenances/{id}":     Viewer,
		"PUT /api/v1/maintenances/{id}":     Editor,
		"DELETE /api/v1/maintenances/{id}":  Editor,
		"GET /api/v1/silences":              Viewer,
		"POST /api/v1/silences":             Operator,
		"POST /api/v1/silences/preview":     Viewer,
		"POST /api/v1/silences/{id}/expire": Operator,
		"GET /api/v1/silences/{id}":         Viewer,
		"PUT /api/v1/silences/{id}":         Operator,
		"DELETE /api/v1/silences/{id}":      Operator,

		"GET /api/v1/channels":            Editor, // their addresses can be secrets
		"POST /api/v1/channels":           Editor,
		"GET /api/v1/channels/{id}":       Editor,
		"PUT /api/v1/channels/{id}":       Editor,
		"DELETE /api/v1/channels/{id}":    Editor,
		"POST /api/v1/channels/{id}/test": Editor,

		"GET /api/v1/episodes":                         Viewer,
		"PUT /api/v1/episodes/{id}/acknowledgement":    Operator,
		"DELETE /api/v1/episodes/{id}/acknowledgement": Operator,

		"POST /api/v1/apply": Editor,

		"GET /api/v1/secrets":         Editor,
		"PUT /api/v1/secrets/{id}":    Admin,
		"DELETE /api/v1/secrets/{id}": Admin,
		"POST /api/v1/login-links":    Admin,

		"GET /api/v1/demo":      Viewer,
		"PUT /api/v1/demo/{id}": Operator,
	}
}

// router is a mux that serves what stands in the table, and guards it.
type router struct {
	mux     *http.ServeMux
	rights  map[string]Right
	seen    map[string]bool
	unknown []string
	guard   func(Right, http.Handler) http.Handler
}

func newRouter(guard func(Right, http.Handler) http.Handler) *router {
	return &router{mux: http.NewServeMux(), rights: Routes(), seen: map[string]bool{}, guard: guard}
}

// Handle registers a handler behind the right that the table names.
func (r *router) Handle(pattern string, handler http.Handler) {
	right, ok := r.rights[pattern]
	if !ok {
		r.unknown = append(r.unknown, pattern)
		return
	}
	r.seen[pattern] = true
	r.mux.Handle(pattern, r.guard(right, handler))
}

// HandleFunc is Handle for a function.
func (r *router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	r.Handle(pattern, http.HandlerFunc(handler))
}

// ServeHTTP serves what is registered.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// complete reports routes without a right and rights without a route.
func (r *router) complete() error {
	for _, pattern := range slices.Sorted(maps.Keys(r.rights)) {
		if !r.seen[pattern] {
			return fmt.Errorf("the table names %s, which is not served", pattern)
		}
	}
	if len(r.unknown) > 0 {
		return fmt.Errorf("the table of rights lacks %s", strings.Join(r.unknown, ", "))
	}
	return nil
}

// allowed lists the methods that a path can be asked with.
func (r *router) allowed(req *http.Request) []string {
	var out []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := req.Clone(req.Context())
		other.Method = method
		if _, pattern := r.mux.Handler(other); strings.HasPrefix(pattern, method+" ") {
			out = append(out, method)
		}
	}
	return out
}

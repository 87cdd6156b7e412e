package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tocsin-io/tocsin/web/wire"
)

// operation describes one route of the API.
type operation struct {
	route   string // as in [Routes]
	id      string
	summary string
	status  int   // of success; default 200
	errors  []int // besides 401, 403 and 500, which every route has
	body    int64 // most bytes; default [MaxBody]
	tag     string
}

// api registers every route of the API.
func (s *server) api() {
	config := huma.DefaultConfig("Tocsin", s.o.Version)
	config.CreateHooks = nil // no $schema in what we send
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Info.Description = "Instants are RFC 3339 text unless a field says ms. Errors are application/problem+json. " +
		"PUT and DELETE take the version of the object in If-Match and answer 412 when it is not the one stored."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer"},
		"session": {Type: "apiKey", In: "cookie", Name: cookieName},
	}
	config.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{s.polish}
	api := humago.New(s.router, config)
	failed := api.OpenAPI().Components.Schemas.Schema(typeOf[wire.Failure](), true, "Failure")

	s.people(api, failed)
	s.fleet(api, failed)
	s.objects(api, failed)
	s.assignments(api, failed)
	s.checks(api, failed)
	s.rules(api, failed)
	s.firings(api, failed)
	s.modules(api, failed)
	s.history(api, failed)
	s.applying(api, failed)
	s.admin(api, failed)

	delete(api.OpenAPI().Components.Schemas.Map(), "ErrorModel")
	delete(api.OpenAPI().Components.Schemas.Map(), "ErrorDetail")
	text, err := api.OpenAPI().MarshalJSON()
	s.router.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(text)
	})
}

// add registers one route: its handler, and its errors in the description.
func add[I, O any](s *server, api huma.API, failed *huma.Schema, o operation, handle func(context.Context, *I) (*O, error)) {
	method, path, _ := strings.Cut(o.route, " ")
	if o.body == 0 {
		o.body = MaxBody
	}
	if o.status == 0 {
		o.status = http.StatusOK
	}
	responses := map[string]*huma.Response{}
	codes := append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError}, o.errors...)
	if method != http.MethodGet || strings.Contains(path, "{") {
		codes = append(codes, http.StatusUnprocessableEntity)
	}
	for _, code := range codes {
		responses[strconv.Itoa(code)] = &huma.Response{
			Description: http.StatusText(code),
			Content:     map[string]*huma.MediaType{problemType: {Schema: failed}},
		}
	}
	tag := o.tag
	if tag == "" {
		tag, _, _ = strings.Cut(strings.TrimPrefix(path, "/api/v1/"), "/")
	}
	huma.Register(api, huma.Operation{
		OperationID: o.id, Method: method, Path: path, Summary: o.summary, Tags: []string{tag},
		Description:  "Needs the role " + s.router.rights[o.route].String() + ".",
		MaxBodyBytes: o.body, DefaultStatus: o.status, Responses: responses,
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		var plain huma.StatusError
		var own *httpError
		switch {
		case err == nil:
			return out, nil
		case errors.As(err, &plain) && !errors.As(err, &own):
			return nil, err
		}
		return nil, s.failed(ctx, err)
	})
}

// body is an answer that is one value.
type body[T any] struct {
	Body T
}

// empty is the input of a route that takes nothing, and the output of one
// that answers nothing.
type empty struct{}

// byID is the input of a route that takes the id of an object.
type byID struct {
	ID string `path:"id" maxLength:"300"`
}

// answer is v as a body.
func answer[T any](v T) *body[T] { return &body[T]{Body: v} }

// list is a page that holds everything there is.
func list[T any](items []T) *body[wire.Page[T]] {
	return answer(wire.Page[T]{Items: slices.Clip(items)})
}

// limit bounds the length of a page.
func limit(asked int) int {
	if asked <= 0 {
		return 100
	}
	return min(asked, maxPage)
}

package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

const problemType = "application/problem+json"

// httpError is an error that the caller is told as it is.
type httpError struct{ wire.Failure }

// Error is the detail.
func (f *httpError) Error() string { return f.Detail }

// GetStatus is the status that the answer has; huma asks for it by this name.
func (f *httpError) GetStatus() int { return f.Status }

// ContentType is that of problems; huma asks for it by this name.
func (*httpError) ContentType(string) string { return problemType }

// failure is a [httpError] with a sentence for people.
func failure(status int, detail string) *httpError {
	return &httpError{wire.Failure{Title: http.StatusText(status), Status: status, Detail: detail}}
}

// wrong is a 422 with what is wrong, one by one.
func wrong(problems core.Problems) *httpError {
	f := failure(http.StatusUnprocessableEntity, "what was sent cannot be saved")
	if len(problems) == 1 {
		f.Detail = problems[0].Message
	}
	f.Errors = problems
	return f
}

// failed is err as it is told to the caller. Faults of ours are logged under
// the id of the request, and the caller is told the id only.
func (s *server) failed(ctx context.Context, err error) *httpError {
	var f *httpError
	var problems core.Problems
	switch {
	case errors.As(err, &f):
	case errors.As(err, &problems):
		f = wrong(problems)
	case errors.Is(err, store.ErrNotFound):
		f = failure(http.StatusNotFound, err.Error())
	case errors.Is(err, store.ErrConflict):
		f = failure(http.StatusConflict, err.Error())
	case ctx.Err() != nil:
		f = failure(http.StatusServiceUnavailable, "the request was given up")
	default:
		s.Logger.ErrorContext(ctx, "answer a request", slog.String("request", requestID(ctx)), slog.Any("err", err))
		f = failure(http.StatusInternalServerError, "something went wrong here; the log of the server has it under the id of this request")
	}
	out := *f
	out.Request = requestID(ctx)
	return &out
}

// refuse answers with a problem.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := s.failed(r.Context(), err)
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(f.Failure)
	}
}

// polish makes the answers of the API uniform: errors that huma found become
// problems like ours, and lists that are empty are [] and not null.
func (s *server) polish(ctx huma.Context, _ string, v any) (any, error) {
	switch v := v.(type) {
	case *huma.ErrorModel:
		f := failure(v.Status, v.Detail)
		for _, e := range v.Errors {
			f.Errors = append(f.Errors, core.Problem{
				Path: strings.TrimPrefix(strings.TrimPrefix(e.Location, "body"), "."), Code: "schema", Message: e.Message,
			})
		}
		if v.Status == http.StatusInternalServerError {
			f = s.failed(ctx.Context(), errors.New(v.Detail+": "+f.Errors.Error()))
		}
		f.Request = requestID(ctx.Context())
		return f.Failure, nil
	case *httpError:
		return v.Failure, nil
	case []byte, nil:
		return v, nil
	}
	filled, _ := fill(reflect.ValueOf(v))
	return filled.Interface(), nil
}

// fill is v with empty lists and maps for nil ones that would be written as
// null. What is shared is not changed but copied.
func fill(v reflect.Value) (reflect.Value, bool) {
	kind := v.Kind()
	switch {
	case kind == reflect.Pointer && !v.IsNil():
		elem, changed := fill(v.Elem())
		if !changed {
			return v, false
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(elem)
		return out, true
	case kind == reflect.Struct:
		return fillStruct(v)
	case kind == reflect.Slice:
		return fillSlice(v)
	case kind == reflect.Map && v.IsNil():
		return reflect.MakeMap(v.Type()), true
	}
	return v, false
}

func fillStruct(v reflect.Value) (reflect.Value, bool) {
	var out reflect.Value
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		f := v.Field(i)
		if !field.IsExported() || tag == "-" || strings.Contains(tag, ",omit") && isEmpty(f) {
			continue
		}
		filled, changed := fill(f)
		if !changed {
			continue
		}
		if !out.IsValid() {
			out = reflect.New(t).Elem()
			out.Set(v)
		}
		out.Field(i).Set(filled)
	}
	if !out.IsValid() {
		return v, false
	}
	return out, true
}

func isEmpty(v reflect.Value) bool {
	if kind := v.Kind(); kind == reflect.Slice || kind == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

func fillSlice(v reflect.Value) (reflect.Value, bool) {
	if v.Type().Elem().Kind() == reflect.Uint8 { // bytes and raw JSON
		return v, false
	}
	if v.IsNil() {
		return reflect.MakeSlice(v.Type(), 0, 0), true
	}
	var out reflect.Value
	for i := range v.Len() {
		filled, changed := fill(v.Index(i))
		if !changed {
			continue
		}
		if !out.IsValid() {
			out = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(out, v)
		}
		out.Index(i).Set(filled)
	}
	if !out.IsValid() {
		return v, false
	}
	return out, true
}

package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// Secrets keeps values that nobody can read back; core/secret.Vault is one.
type Secrets interface {
	Names(ctx context.Context) ([]string, error)
	// Put stores a value under a name that core.CheckName accepts.
	Put(ctx context.Context, name, value, by string, now time.Time) error
	// Delete forgets a value; store.ErrNotFound when there is none.
	Delete(ctx context.Context, name string) error
}

// Demo is the demo shop, whose targets a person can break and mend.
type Demo interface {
	Targets() []wire.DemoTarget
	// Set changes how a target behaves. The error is for the person who asked.
	Set(system, mode string) error
}

// admin registers secrets, links to sign in, nodes, and the demo.
func (s *server) admin(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/secrets", id: "secrets", summary: "Names of secrets; values are never shown"}, s.secretNames)
	add(s, api, failed, operation{route: "PUT /api/v1/secrets/{id}", id: "put-secret", summary: "Store the value of a secret, sealed", status: http.StatusNoContent, errors: []int{http.StatusUnprocessableEntity}}, s.putSecret)
	add(s, api, failed, operation{route: "DELETE /api/v1/secrets/{id}", id: "delete-secret", summary: "Forget a secret", status: http.StatusNoContent, errors: []int{http.StatusNotFound}}, s.deleteSecret)
	add(s, api, failed, operation{route: "POST /api/v1/login-links", id: "login-link", summary: "Make a link that signs an administrator in once"}, s.loginLink)
	add(s, api, failed, operation{route: "GET /api/v1/nodes", id: "nodes", summary: "Processes that share the database; none when this one is alone"}, s.nodes)
	add(s, api, failed, operation{route: "GET /api/v1/demo", id: "demo", summary: "Targets of the demo shop; none when it does not run"},
		func(context.Context, *empty) (*body[[]wire.DemoTarget], error) { return answer(s.targets()), nil })
	add(s, api, failed, operation{route: "PUT /api/v1/demo/{id}", id: "set-demo", summary: "Break or mend a target of the demo shop", errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}}, s.setDemo)
}

func (s *server) nodes(ctx context.Context, _ *empty) (*body[wire.Page[core.Node]], error) {
	if s.Nodes == nil {
		return list([]core.Node{}), nil
	}
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return list(nodes), nil
}

type secretList struct {
	Names []string `json:"names"`
}

func (s *server) secretNames(ctx context.Context, _ *empty) (*body[secretList], error) {
	names, err := s.Secrets.Names(ctx)
	if err != nil {
		return nil, err
	}
	if names == nil {
		names = []string{}
	}
	return answer(secretList{names}), nil
}

type secretPut struct {
	ID   string `path:"id"`
	Body struct {
		Value string `json:"value" maxLength:"65536" minLength:"1"`
	}
}

func (s *server) putSecret(ctx context.Context, in *secretPut) (*empty, error) {
	if err := core.CheckName(in.ID); err != nil {
		return nil, failure(http.StatusUnprocessableEntity, err.Error())
	}
	if err := s.Secrets.Put(ctx, in.ID, in.Body.Value, who(ctx).User, time.Now()); err != nil {
		return nil, err
	}
	s.audit(ctx, "put secret", idAttr(in.ID))
	return &empty{}, nil
}

func (s *server) deleteSecret(ctx context.Context, in *struct {
	ID string `path:"id"`
},
) (*empty, error) {
	if err := s.Secrets.Delete(ctx, in.ID); err != nil {
		return nil, err
	}
	s.audit(ctx, "delete secret", idAttr(in.ID))
	return &empty{}, nil
}

type linkBody struct {
	Link string `json:"link" doc:"the secret of /login?link="`
}

func (s *server) loginLink(ctx context.Context, _ *empty) (*body[linkBody], error) {
	link, err := NewLink(ctx, s.Sessions, "admin", Admin.String())
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "make login link")
	return answer(linkBody{link}), nil
}

func (s *server) targets() []wire.DemoTarget {
	if s.Demo == nil {
		return []wire.DemoTarget{}
	}
	return s.Demo.Targets()
}

type demoPut struct {
	ID   string `path:"id"`
	Body struct {
		Mode string `json:"mode" enum:"up,down,slow,flaky"`
	}
}

func (s *server) setDemo(_ context.Context, in *demoPut) (*body[[]wire.DemoTarget], error) {
	if s.Demo == nil {
		return nil, store.ErrNotFound
	}
	if err := s.Demo.Set(in.ID, in.Body.Mode); err != nil {
		return nil, failure(http.StatusUnprocessableEntity, err.Error())
	}
	return answer(s.Demo.Targets()), nil
}

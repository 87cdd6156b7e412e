package web

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
)

// catalog keeps what people wrote decoded, for as long as it does not change.
type catalog struct {
	from store.Catalog

	mu   sync.Mutex
	last *view
}

// view is the catalog at one version. It is shared and never changed.
type view struct {
	version     int64
	objects     map[store.Kind][]store.Object
	systems     []core.System
	checks      []core.Check
	rules       []core.Rule
	assignments []core.Assignment
	bySystem    map[string][]core.Assignment
}

// noKind selects no objects: asking for it tells the version alone.
const noKind store.Kind = "none"

// view is the catalog as it is now.
func (c *catalog) view(ctx context.Context) (*view, error) {
	_, version, err := c.from.Objects(ctx, noKind)
	if err != nil {
		return nil, fmt.Errorf("read the version of the catalog: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.last.version >= version {
		return c.last, nil
	}
	objects, version, err := c.from.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	assignments, err := c.from.Assignments(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the assignments: %w", err)
	}
	next := &view{version: version, objects: map[store.Kind][]store.Object{}, assignments: assignments, bySystem: map[string][]core.Assignment{}}
	for _, o := range objects {
		if err := next.add(o); err != nil {
			return nil, fmt.Errorf("decode the %s %s: %w", o.Kind, o.ID, err)
		}
	}
	for _, a := range assignments {
		next.bySystem[a.System] = append(next.bySystem[a.System], a)
	}
	c.last = next
	return next, nil
}

func (v *view) add(o store.Object) error {
	v.objects[o.Kind] = append(v.objects[o.Kind], o)
	switch o.Kind {
	case store.Systems:
		return into(&v.systems, o)
	case store.Checks:
		return into(&v.checks, o)
	case store.Rules:
		return into(&v.rules, o)
	case store.Maintenances, store.Silences, store.Acknowledgements, store.Channels:
	}
	return nil
}

func into[T any](list *[]T, o store.Object) error {
	var value T
	if err := json.Unmarshal(o.Body, &value); err != nil {
		return err //nolint:wrapcheck // the caller says of what
	}
	*list = append(*list, value)
	return nil
}

// object is a stored object, false when there is none.
func (v *view) object(ref plan.Ref) (store.Object, bool) {
	list := v.objects[ref.Kind]
	i, ok := slices.BinarySearchFunc(list, ref.ID, func(o store.Object, id string) int { return strings.Compare(o.ID, id) })
	if !ok {
		// The order of the storage may be another than that of bytes.
		i = slices.IndexFunc(list, func(o store.Object) bool { return o.ID == ref.ID })
		ok = i >= 0
	}
	if !ok {
		return store.Object{}, false
	}
	return list[i], true
}

func (v *view) check(id string) (core.Check, bool) {
	i := slices.IndexFunc(v.checks, func(c core.Check) bool { return c.ID == id })
	if i < 0 {
		return core.Check{}, false
	}
	return v.checks[i], true
}

func (v *view) assignment(id string) (core.Assignment, bool) {
	system, _ := core.SplitAssignmentID(id)
	for _, a := range v.bySystem[system] {
		if a.ID == id {
			return a, true
		}
	}
	return core.Assignment{}, false
}

package plan

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Service saves what people wrote: the one way into the catalog. It is safe
// for concurrent use.
type Service struct {
	planner *Planner
	catalog store.Catalog
	rule    func(core.Rule, []core.System) core.Problems
	channel func(core.Channel) core.Problems
}

// NewService is a Service over a catalog. Rules are checked by the function;
// with none every rule is taken.
func NewService(planner *Planner, catalog store.Catalog, rule func(core.Rule, []core.System) core.Problems) *Service {
	if rule == nil {
		rule = func(core.Rule, []core.System) core.Problems { return nil }
	}
	return &Service{planner: planner, catalog: catalog, rule: rule, channel: func(core.Channel) core.Problems { return nil }}
}

// Channels makes s check channels by a function. It must be called before s is
// used; without it every channel is taken.
func (s *Service) Channels(check func(core.Channel) core.Problems) { s.channel = check }

// Ref names an object.
type Ref struct {
	Kind store.Kind
	ID   string
}

// String is "kind:id".
func (r Ref) String() string { return string(r.Kind) + ":" + r.ID }

// Changes are edits that are made together or not at all.
type Changes struct {
	Put    []any // core.System, Check, Rule, Maintenance, Silence, Channel or Acknowledgement, or pointers to them
	Delete []Ref
}

// ApplyOptions says how changes are made.
type ApplyOptions struct {
	DryRun bool      // only say what would happen
	By     string    // who it is
	Now    time.Time // when it is
	// IfVersion lists by "kind:id" the version an object must have now; 0: it
	// must not exist. Objects that are not in it may have any.
	IfVersion map[string]int64
}

// Item says what became, or would become, of one object.
type Item struct {
	Kind    store.Kind
	ID      string
	Action  string // created, updated, unchanged or deleted
	Version int64  // afterwards; of a dry run and a deletion, before
}

// Actions of an [Item].
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Deleted   = "deleted"
)

// maxTries is how often changes are computed anew when somebody else was
// faster.
const maxTries = 8

// ErrTooManyConflicts is returned when others kept changing the catalog while
// an edit was computed.
var ErrTooManyConflicts = errors.New("the catalog kept changing; try again")

// Apply makes changes, and the Assignments and Transitions that follow from
// them, in one transaction. With problems nothing is changed. Objects that are
// as they should be are reported unchanged and keep their version. The error is
// store.ErrConflict when an object does not have the version it should have,
// and store.ErrNotFound when one to delete is not there.
func (s *Service) Apply(ctx context.Context, changes Changes, o ApplyOptions) ([]Item, core.Problems, error) {
	for range maxTries {
		items, problems, err := s.apply(ctx, changes, o)
		if !errors.Is(err, errMoved) {
			return items, problems, err
		}
	}
	return nil, nil, ErrTooManyConflicts
}

// errMoved: the catalog changed between reading and writing.
var errMoved = errors.New("the catalog moved on")

func (s *Service) apply(ctx context.Context, changes Changes, o ApplyOptions) ([]Item, core.Problems, error) {
	objects, version, err := s.catalog.Objects(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the catalog: %w", err)
	}
	old, err := s.catalog.Assignments(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the assignments: %w", err)
	}
	e, err := newEdit(objects, changes, o)
	if err != nil {
		return nil, nil, err
	}
	if len(e.problems) == 0 {
		e.problems = append(e.problems, s.validate(e)...)
	}
	if len(e.problems) > 0 {
		return nil, e.problems, nil
	}
	change, problems := s.diff(e, old)
	if len(problems) > 0 {
		return nil, problems, nil
	}
	if o.DryRun || len(e.put)+len(e.deleted) == 0 {
		return e.items, nil, nil
	}
	edit := store.Edit{Base: version, Put: e.put, Delete: e.deleted, Systems: change, By: o.By, Now: o.Now}
	if _, err := s.catalog.Apply(ctx, edit); errors.Is(err, store.ErrConflict) {
		return nil, nil, errMoved
	} else if err != nil {
		return nil, nil, fmt.Errorf("store the changes: %w", err)
	}
	for i, it := range e.items {
		if it.Action == Created || it.Action == Updated {
			e.items[i].Version++
		}
	}
	return e.items, nil, nil
}

// edit is what a set of changes comes to.
type edit struct {
	after    catalog
	before   catalog
	changed  map[Ref]bool // created or updated
	gone     map[Ref]bool
	put      []store.Object
	deleted  []store.Object
	items    []Item
	problems core.Problems
}

// catalog is the objects by kind, in order of id.
type catalog struct {
	systems      []core.System
	checks       []core.Check
	rules        []core.Rule
	maintenances []core.Maintenance
	silences     []core.Silence
	acks         []core.Acknowledgement
	channels     []core.Channel
}

func newEdit(objects []store.Object, changes Changes, o ApplyOptions) (*edit, error) {
	e := &edit{changed: map[Ref]bool{}, gone: map[Ref]bool{}}
	stored := make(map[Ref]store.Object, len(objects))
	for _, object := range objects {
		stored[Ref{object.Kind, object.ID}] = object
	}
	after := make(map[Ref]any, len(objects))
	for ref, object := range stored {
		v, err := decode(object)
		if err != nil {
			return nil, err
		}
		after[ref] = v
		e.before.add(v)
	}
	for _, ref := range changes.Delete {
		if err := e.remove(ref, stored, o); err != nil {
			return nil, err
		}
		delete(after, ref)
	}
	for _, v := range changes.Put {
		ref, value, err := refOf(v)
		if err != nil {
			return nil, err
		}
		if err := e.set(ref, value, stored, o); err != nil {
			return nil, err
		}
		after[ref] = value
	}
	for _, v := range after {
		e.after.add(v)
	}
	e.before.sort()
	e.after.sort()
	return e, nil
}

func (e *edit) remove(ref Ref, stored map[Ref]store.Object, o ApplyOptions) error {
	object, ok := stored[ref]
	if !ok {
		return fmt.Errorf("delete %s %q: %w", ref.Kind, ref.ID, store.ErrNotFound)
	}
	if err := expect(ref, object.Version, o); err != nil {
		return err
	}
	if e.gone[ref] {
		return nil
	}
	e.gone[ref] = true
	e.deleted = append(e.deleted, store.Object{Kind: ref.Kind, ID: ref.ID})
	e.items = append(e.items, Item{Kind: ref.Kind, ID: ref.ID, Action: Deleted, Version: object.Version})
	return nil
}

func (e *edit) set(ref Ref, value any, stored map[Ref]store.Object, o ApplyOptions) error {
	was, exists := stored[ref]
	if err := expect(ref, was.Version, o); err != nil {
		return err
	}
	if e.changed[ref] || e.gone[ref] || slices.ContainsFunc(e.items, func(it Item) bool { return it.Kind == ref.Kind && it.ID == ref.ID }) {
		e.problems = append(e.problems, core.Problem{
			Object: ref.String(), Path: "id", Code: "duplicate",
			Message: fmt.Sprintf("%s %q stands twice", ref.Kind, ref.ID), Fix: "rename or remove one",
		})
		return nil
	}
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s %q: %w", ref.Kind, ref.ID, err)
	}
	item := Item{Kind: ref.Kind, ID: ref.ID, Action: Created, Version: was.Version}
	switch {
	case exists && same(was, body):
		item.Action = Unchanged
		e.items = append(e.items, item)
		return nil
	case exists:
		item.Action = Updated
	}
	e.changed[ref] = true
	e.items = append(e.items, item)
	e.put = append(e.put, store.Object{Kind: ref.Kind, ID: ref.ID, Body: body})
	return nil
}

// same reports whether a stored object is what body says, also when it was
// stored in an older form.
func same(was store.Object, body []byte) bool {
	if bytes.Equal(was.Body, body) {
		return true
	}
	v, err := decode(was)
	if err != nil {
		return false
	}
	again, err := json.Marshal(v)
	return err == nil && bytes.Equal(again, body)
}

func expect(ref Ref, version int64, o ApplyOptions) error {
	want, ok := o.IfVersion[ref.String()]
	switch {
	case !ok || want == version:
		return nil
	case version == 0:
		return fmt.Errorf("%s %q is there no more: %w", ref.Kind, ref.ID, store.ErrConflict)
	case want == 0:
		return fmt.Errorf("%s %q is there already: %w", ref.Kind, ref.ID, store.ErrConflict)
	}
	return fmt.Errorf("%s %q has version %d, not %d: %w", ref.Kind, ref.ID, version, want, store.ErrConflict)
}

// refOf names an object and takes it out of its pointer.
func refOf(v any) (Ref, any, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && !rv.IsNil() {
		v = rv.Elem().Interface()
	}
	switch x := v.(type) {
	case core.System:
		return Ref{store.Systems, x.ID}, x, nil
	case core.Check:
		return Ref{store.Checks, x.ID}, x, nil
	case core.Rule:
		return Ref{store.Rules, x.ID}, x, nil
	case core.Maintenance:
		return Ref{store.Maintenances, x.ID}, x, nil
	case core.Silence:
		return Ref{store.Silences, x.ID}, x, nil
	case core.Channel:
		return Ref{store.Channels, x.ID}, x, nil
	case core.Acknowledgement:
		return Ref{store.Acknowledgements, x.Episode}, x, nil
	}
	return Ref{}, nil, fmt.Errorf("save a %T: it is not an object of the catalog", v)
}

// decode reads a stored object.
func decode(o store.Object) (any, error) {
	switch o.Kind {
	case store.Systems:
		return decodeAs[core.System](o)
	case store.Checks:
		return decodeAs[core.Check](o)
	case store.Rules:
		return decodeAs[core.Rule](o)
	case store.Maintenances:
		return decodeAs[core.Maintenance](o)
	case store.Silences:
		return decodeAs[core.Silence](o)
	case store.Channels:
		return decodeAs[core.Channel](o)
	case store.Acknowledgements:
		return decodeAs[core.Acknowledgement](o)
	}
	return nil, fmt.Errorf("read stored object %q: unknown kind %q", o.ID, o.Kind)
}

func decodeAs[T any](o store.Object) (any, error) {
	var v T
	if err := json.Unmarshal(o.Body, &v); err != nil {
		return nil, fmt.Errorf("read stored %s %q: %w", o.Kind, o.ID, err)
	}
	return v, nil
}

func (c *catalog) add(v any) {
	switch x := v.(type) {
	case core.System:
		c.systems = append(c.systems, x)
	case core.Check:
		c.checks = append(c.checks, x)
	case core.Rule:
		c.rules = append(c.rules, x)
	case core.Maintenance:
		c.maintenances = append(c.maintenances, x)
	case core.Silence:
		c.silences = append(c.silences, x)
	case core.Channel:
		c.channels = append(c.channels, x)
	case core.Acknowledgement:
		c.acks = append(c.acks, x)
	}
}

func (c *catalog) sort() {
	slices.SortFunc(c.systems, func(a, b core.System) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.checks, func(a, b core.Check) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.rules, func(a, b core.Rule) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.maintenances, func(a, b core.Maintenance) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.silences, func(a, b core.Silence) int { return cmp.Compare(a.ID, b.ID) })
}

// validate checks what changed, and what else depends on it. What was stored
// before and has a mistake of its own by now does not stand in the way of other
// edits.
//
//nolint:gocognit // a check for each kind
func (s *Service) validate(e *edit) core.Problems {
	out := append(removed(e), reserved(e)...)
	systems := e.after.systems
	for _, p := range s.planner.ValidateSystems(systems) {
		kind, id, _ := strings.Cut(p.Object, ":")
		if p.Code == "cycle" && len(e.put) > 0 || e.changed[Ref{store.Kind(kind), id}] {
			out = append(out, p)
		}
	}
	for _, c := range e.after.checks {
		if e.changed[Ref{store.Checks, c.ID}] {
			out = append(out, s.planner.ValidateCheck(c, systems).In(string(store.Checks), c.ID)...)
		}
	}
	for _, r := range e.after.rules {
		if e.changed[Ref{store.Rules, r.ID}] {
			out = append(out, s.rule(r, systems).In(string(store.Rules), r.ID)...)
		}
	}
	for _, m := range e.after.maintenances {
		if e.changed[Ref{store.Maintenances, m.ID}] {
			out = append(out, s.planner.ValidateMaintenance(m, systems).In(string(store.Maintenances), m.ID)...)
		}
	}
	for _, m := range e.after.silences {
		if e.changed[Ref{store.Silences, m.ID}] {
			out = append(out, s.planner.ValidateSilence(m, systems).In(string(store.Silences), m.ID)...)
		}
	}
	out = append(out, s.channels(e)...)
	for _, a := range e.after.acks {
		if e.changed[Ref{store.Acknowledgements, a.Episode}] {
			out = append(out, plainText("comment", a.Comment, maxNote).In(string(store.Acknowledgements), a.Episode)...)
		}
	}
	if n := len(e.after.silences); n > maxSilences && n > len(e.before.silences) {
		out = append(out, core.Problem{Code: "limit", Message: fmt.Sprintf("%d silences are more than %d", n, maxSilences), Fix: "delete some that have ended, or let one silence match more"})
	}
	return out
}

// maxSilences is how many silences there may be, those that have ended
// included.
const maxSilences = 2000

// reserved reports new objects whose address in the API or the interface
// belongs to something else, so that nobody could reach them.
func reserved(e *edit) core.Problems {
	taken := map[store.Kind][]string{
		store.Checks: {"validate"},
		store.Rules:  {"new", "validate", "expr", "env"},
	}
	var out core.Problems
	for _, it := range e.items {
		if it.Action == Created && slices.Contains(taken[it.Kind], it.ID) {
			out = append(out, core.Problem{
				Object: string(it.Kind) + ":" + it.ID, Path: "id", Code: "id",
				Message: fmt.Sprintf("a %s cannot have the id %q: its address would be /%ss/%s, which is taken", it.Kind, it.ID, it.Kind, it.ID),
				Fix:     "choose another id; the name for people may be anything",
			})
		}
	}
	return out
}

// removed reports objects that name a system which goes.
func removed(e *edit) core.Problems {
	var out core.Problems
	name := func(kind store.Kind, id, path, system, how string) {
		if e.gone[Ref{store.Systems, system}] && !e.changed[Ref{kind, id}] {
			out = append(out, core.Problem{
				Object: string(store.Systems) + ":" + system, Code: "in_use",
				Message: fmt.Sprintf("system %q cannot be deleted: %s %q %s", system, kind, id, how),
				Fix:     fmt.Sprintf("remove it from %s of %s %q first, or in the same edit", path, kind, id),
			})
		}
	}
	for _, c := range e.after.checks {
		for _, system := range c.Systems.Names {
			name(store.Checks, c.ID, "systems.names", system, "lists it")
		}
		for _, system := range slices.Sorted(maps.Keys(c.Overrides)) {
			name(store.Checks, c.ID, "overrides", system, "overrides it")
		}
	}
	for _, system := range e.after.systems {
		for _, on := range system.DependsOn {
			name(store.Systems, system.ID, "depends_on", on, "depends on it")
		}
	}
	for _, m := range e.after.maintenances {
		for _, system := range m.Systems.Names {
			name(store.Maintenances, m.ID, "systems.names", system, "lists it")
		}
	}
	for _, m := range e.after.silences {
		for _, system := range m.Systems.Names {
			name(store.Silences, m.ID, "systems.names", system, "lists it")
		}
	}
	return out
}

// diff is what the edit means to the board. The assignments of a check that
// does not expand any more, and was not changed, stay as they are.
func (s *Service) diff(e *edit, old []core.Assignment) (core.Change, core.Problems) {
	var c core.Change
	wanted, problems := s.planner.Expand(e.after.checks, e.after.systems)
	stuck := map[string]bool{}
	var fatal core.Problems
	for _, p := range problems {
		_, id, _ := strings.Cut(p.Object, ":")
		stuck[id] = true
		if e.changed[Ref{store.Checks, id}] {
			fatal = append(fatal, p)
		}
	}
	if len(fatal) > 0 {
		return c, fatal
	}
	had := make(map[string]core.Assignment, len(old))
	for _, a := range old {
		had[a.ID] = a
	}
	keep := make(map[string]bool, len(wanted))
	for _, a := range wanted {
		keep[a.ID] = true
		if before, ok := had[a.ID]; !ok || !reflect.DeepEqual(before, a) {
			c.PutAssignments = append(c.PutAssignments, a)
		}
	}
	for _, a := range old {
		if !keep[a.ID] && (!stuck[a.Check] || e.gone[Ref{store.Systems, a.System}]) {
			c.DeleteAssignments = append(c.DeleteAssignments, a.ID)
		}
	}
	for _, o := range e.deleted {
		if o.Kind == store.Systems {
			c.DeleteSystems = append(c.DeleteSystems, o.ID)
		}
	}
	for _, system := range e.after.systems {
		if e.changed[Ref{store.Systems, system.ID}] {
			c.PutSystems = append(c.PutSystems, system)
		}
	}
	return c, nil
}

package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// modulesNow is every module that is stored, with the release of each and who
// uses it, at one instant.
type modulesNow struct {
	view     *view
	names    []string // in order
	modules  map[string][]core.Module
	releases map[string]core.Release
	values   map[string]int64
}

func (s *server) modulesNow(ctx context.Context) (*modulesNow, error) {
	versions, err := s.Stored.Modules(ctx)
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	releases, err := s.Releases.Releases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	now := &modulesNow{modules: map[string][]core.Module{}, releases: map[string]core.Release{}}
	if now.values, err = s.Values.ValuesSize(ctx); err != nil {
		return nil, fmt.Errorf("read what modules keep: %w", err)
	}
	if now.view, err = s.catalog.view(ctx); err != nil {
		return nil, err
	}
	for _, m := range versions {
		now.modules[m.Name] = append(now.modules[m.Name], m)
	}
	for _, r := range releases {
		now.releases[r.Name] = r
	}
	now.names = slices.Sorted(maps.Keys(now.modules))
	return now, nil
}

// usage is who uses one module.
type usage struct {
	checks  []string
	rules   []string
	systems map[string]bool
	pinned  map[string][]string // by version: what pins it
	acts    []string            // rules with a step of the active version
	calls   map[string][]string // by function of the active version: what calls it
	runs    map[string]string   // by assignment and step: the version
	on      map[string]int      // by version: assignments
	canary  int
}

// usage finds out who uses the module called name, if its release were r.
//
//nolint:gocognit // three loops over what can name a module, side by side
func (now *modulesNow) usage(r core.Release) *usage {
	modules := now.modules[r.Name]
	u := &usage{calls: now.callers(r), systems: map[string]bool{}, pinned: map[string][]string{}, runs: map[string]string{}, on: map[string]int{}}
	pin := func(use core.ModuleUse, what string) {
		if use.Pin == "" {
			return
		}
		if version, _, err := r.Resolve(use.Pin, "", modules); err == nil && !slices.Contains(u.pinned[version], what) {
			u.pinned[version] = append(u.pinned[version], what)
		}
	}
	steps := map[string]map[int]core.ModuleUse{} // by check
	for _, c := range now.view.checks {
		for i, step := range c.Collect {
			use, ok := core.ParseModuleUse(step.Use)
			if !ok || use.Name != r.Name {
				continue
			}
			if steps[c.ID] == nil {
				steps[c.ID] = map[int]core.ModuleUse{}
				u.checks = append(u.checks, c.ID)
			}
			steps[c.ID][i] = use
			pin(use, "check "+c.ID)
		}
	}
	for _, rule := range now.view.rules {
		for _, step := range core.Steps("do", slices.Concat(rule.Do, rule.Recover)) {
			use, ok := core.ParseModuleUse(step.Action)
			if !ok || use.Name != r.Name {
				continue
			}
			if !slices.Contains(u.rules, rule.ID) {
				u.rules = append(u.rules, rule.ID)
			}
			if (use.Pin == "" || use.Pin == core.Stable) && !slices.Contains(u.acts, rule.ID) {
				u.acts = append(u.acts, rule.ID)
			}
			pin(use, "rule "+rule.ID)
		}
	}
	for _, a := range now.view.assignments {
		if len(steps[a.Check]) == 0 {
			continue
		}
		u.systems[a.System] = true
		if a.Enabled {
			u.count(r, a.ID, steps[a.Check], modules)
		}
	}
	return u
}

// count adds what an assignment runs.
func (u *usage) count(r core.Release, assignment string, steps map[int]core.ModuleUse, modules []core.Module) {
	seen := map[string]bool{}
	tried := false
	for i, use := range steps {
		version, canary, err := r.Resolve(use.Pin, assignment, modules)
		if err != nil {
			continue
		}
		u.runs[fmt.Sprintf("%s %d", assignment, i)] = version
		seen[version] = true
		tried = tried || canary
	}
	for version := range seen {
		u.on[version]++
	}
	if tried {
		u.canary++
	}
}

// moved counts the assignments that run another version in u than before.
func (u *usage) moved(before *usage) int {
	moved := map[string]bool{}
	for step, version := range u.runs {
		if before.runs[step] != version {
			assignment, _, _ := strings.Cut(step, " ")
			moved[assignment] = true
		}
	}
	return len(moved)
}

// used lists everything that uses the module.
func (u *usage) used() []string {
	out := make([]string, 0, len(u.checks)+len(u.rules))
	for _, c := range u.checks {
		out = append(out, "check "+c)
	}
	for _, r := range u.rules {
		out = append(out, "rule "+r)
	}
	for _, name := range slices.Sorted(maps.Keys(u.calls)) {
		for _, who := range u.calls[name] {
			if !slices.Contains(out, who) {
				out = append(out, who)
			}
		}
	}
	return out
}

// callers finds what calls the functions that the active version offers. It
// goes by the text of expressions: a description that names a function counts
// too, which errs on the side of keeping.
func (now *modulesNow) callers(r core.Release) map[string][]string {
	modules := now.modules[r.Name]
	i := slices.IndexFunc(modules, func(m core.Module) bool { return m.Version == r.Stable })
	if i < 0 || len(modules[i].Manifest.Functions) == 0 {
		return nil
	}
	out := map[string][]string{}
	find := func(object any, who string) {
		text := texts(object)
		for _, f := range modules[i].Manifest.Functions {
			if regexp.MustCompile(`\b` + regexp.QuoteMeta(f.Name) + `\s*\(`).MatchString(text) {
				out[f.Name] = append(out[f.Name], who)
			}
		}
	}
	for _, c := range now.view.checks {
		find(c, "check "+c.ID)
	}
	for _, rule := range now.view.rules {
		find(rule, "rule "+rule.ID)
	}
	return out
}

// texts is every text in an object, one a line.
func texts(object any) string {
	var out strings.Builder
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out.WriteString(v + "\n")
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	text, err := json.Marshal(object)
	var tree any
	if err == nil && json.Unmarshal(text, &tree) == nil {
		walk(tree)
	}
	return out.String()
}

// broken says what a change of the active version would break: a function that
// something calls, or an action that a rule takes, which it does not offer.
func (now *modulesNow) broken(before, after core.Release) []string {
	modules := now.modules[after.Name]
	i := slices.IndexFunc(modules, func(m core.Module) bool { return m.Version == after.Stable })
	if i < 0 || before.Stable == after.Stable {
		return nil
	}
	offered, u := modules[i].Manifest, now.usage(before)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(u.calls)) {
		if !slices.ContainsFunc(offered.Functions, func(f core.FunctionDecl) bool { return f.Name == name }) {
			out = append(out, fmt.Sprintf("%s() is called by %s", name, enumerate(u.calls[name])))
		}
	}
	if len(u.acts) > 0 && offered.Action == nil {
		out = append(out, "its action is a step of rule "+enumerate(u.acts))
	}
	return out
}

// item is a module as the API shows it.
func (s *server) item(now *modulesNow, name string) wire.ModuleItem {
	modules, r := now.modules[name], now.releases[name]
	r.Name = name
	u := now.usage(r)
	out := wire.ModuleItem{
		Name: name, Kind: modules[0].Kind, Use: core.ModuleUse{Kind: modules[0].Kind, Name: name}.String(),
		Stable: r.Stable, Aliases: r.Aliases, Changes: r.Changes, Checks: u.checks, Rules: u.rules, Systems: len(u.systems), Values: now.values[name],
	}
	if len(r.Previous) > 0 {
		out.Rollback = r.Previous[0]
	}
	for _, m := range modules {
		v := wire.ModuleVersion{
			Module: m, ModuleState: s.Modules.State(name, m.Version), Pinned: u.pinned[m.Version], Assignments: u.on[m.Version],
			Keeps: keeps(r, u, m.Version, len(modules)), GrantDiff: grantDiff(modules, m.Version, m.Manifest.Wants), Aliases: aliases(r, m.Version),
		}
		if v.Error != "" && out.Error == "" && (m.Active || v.Assignments > 0 || len(v.Aliases) > 0) {
			out.Error = m.Version + ": " + v.Error
		}
		out.Versions = append(out.Versions, v)
	}
	if r.Canary != nil {
		out.Canary = &wire.ModuleCanary{Canary: *r.Canary, Assignments: u.canary}
		out.Canary.Trial, out.Canary.Against = s.Modules.Trials(name)
	}
	return out
}

// grantDiff compares what a version wants with what another is granted: the
// active one, or else the newest before it that was reviewed. The modules are
// newest first; a version that is not among them is newer than all.
func grantDiff(modules []core.Module, version string, wants core.Grant) wire.GrantDiff {
	var base core.Module
	older := !slices.ContainsFunc(modules, func(m core.Module) bool { return m.Version == version })
	for _, m := range modules {
		if m.Version == version {
			older = true
			continue
		}
		if m.Active || base.Version == "" && older && !m.Granted.IsZero() {
			base = m
		}
		if m.Active {
			break
		}
	}
	return wire.GrantDiff{Against: base.Version, Changes: wants.Diff(base.Grant)}
}

// aliases are the words that mean a version.
func aliases(r core.Release, version string) []string {
	var out []string
	for alias, v := range r.Aliases {
		if v == version {
			out = append(out, alias)
		}
	}
	slices.Sort(out)
	if r.Stable == version {
		out = append([]string{core.Stable}, out...)
	}
	return out
}

// keeps says why a version cannot be deleted, one sentence each. The last
// version of a name can be when nothing uses it.
func keeps(r core.Release, u *usage, version string, versions int) []string {
	var out []string
	if versions > 1 {
		out = r.Keeps(version)
	} else if used := u.used(); len(used) > 0 {
		return []string{"it is the only version, and in use by " + enumerate(used)}
	}
	if pinned := u.pinned[version]; len(pinned) > 0 {
		out = append(out, "it is pinned by "+enumerate(pinned))
	}
	return out
}

// enumerate lists words for people, and leaves out what is too much.
func enumerate(words []string) string {
	const most = 5
	out := strings.Join(words[:min(len(words), most)], ", ")
	if more := len(words) - most; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

func (s *server) moduleList(ctx context.Context, _ *empty) (*body[wire.Page[wire.ModuleItem]], error) {
	now, err := s.modulesNow(ctx)
	if err != nil {
		return nil, err
	}
	var items []wire.ModuleItem
	for _, name := range now.names {
		items = append(items, s.item(now, name))
	}
	return list(items), nil
}

func (s *server) module(ctx context.Context, name string) (wire.ModuleItem, error) {
	now, err := s.modulesNow(ctx)
	if err != nil {
		return wire.ModuleItem{}, err
	}
	if len(now.modules[name]) == 0 {
		return wire.ModuleItem{}, noModule(name)
	}
	return s.item(now, name), nil
}

// version finds a version of a module by its version, number or alias. When
// that is empty it is the active one, or else the newest.
func (s *server) version(ctx context.Context, name, version string) (core.Module, error) {
	now, err := s.modulesNow(ctx)
	if err != nil {
		return core.Module{}, err
	}
	return now.find(name, version)
}

func (now *modulesNow) find(name, version string) (core.Module, error) {
	modules, r := now.modules[name], now.releases[name]
	if len(modules) == 0 {
		return core.Module{}, noModule(name)
	}
	wanted := cmp.Or(version, r.Stable, modules[0].Version)
	if version == core.Stable {
		wanted = r.Stable
	}
	r.Name = name
	resolved, _, err := r.Resolve(wanted, "", modules)
	if err != nil {
		return core.Module{}, failure(http.StatusNotFound, err.Error())
	}
	for _, m := range modules {
		if m.Version == resolved {
			return m, nil
		}
	}
	return core.Module{}, failure(http.StatusNotFound, fmt.Sprintf("the module %s has no version %q", name, version))
}

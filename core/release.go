package core

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Prefixes of the names by which checks and rules use modules.
const (
	WasmPrefix   = "wasm:"
	ScriptPrefix = "script:"
)

// Stable is the alias of the version that a name without "@" means.
const Stable = "stable"

// ModuleUse is how something names a Module: "wasm:NAME", "script:NAME", and
// after "@" the version, number or alias that pins it.
type ModuleUse struct {
	Kind ModuleKind
	Name string
	Pin  string // empty: stable
}

// ParseModuleUse reads the name of a collector or of an action. It is false
// for one that is built in.
func ParseModuleUse(use string) (ModuleUse, bool) {
	u := ModuleUse{Kind: WasmModule}
	rest, ok := strings.CutPrefix(use, WasmPrefix)
	if !ok {
		u.Kind = ScriptModule
		if rest, ok = strings.CutPrefix(use, ScriptPrefix); !ok {
			return ModuleUse{}, false
		}
	}
	u.Name, u.Pin, _ = strings.Cut(rest, "@")
	if u.Pin == Stable {
		u.Pin = ""
	}
	return u, true
}

// String undoes [ParseModuleUse].
func (u ModuleUse) String() string {
	out := string(u.Kind) + ":" + u.Name
	if u.Pin != "" {
		out += "@" + u.Pin
	}
	return out
}

// Release says which versions the names mean by which a Module is used: which
// one is stable, which the aliases are, and which one is tried on a share of
// the assignments. Its methods return a changed copy; store.Releases keeps it.
type Release struct {
	Name     string            `json:"name"`
	Revision int64             `json:"revision" doc:"plus 1 with each change"`
	Stable   string            `json:"stable,omitempty" doc:"the version that a name without @ means; none: it was never activated"`
	Previous []string          `json:"previous,omitempty" doc:"versions that were stable before, newest first; the first is what a rollback goes back to"`
	Aliases  map[string]string `json:"aliases,omitempty" doc:"version by alias, without stable"`
	Canary   *Canary           `json:"canary,omitempty"`
	Changes  []ReleaseChange   `json:"changes,omitempty" doc:"what people and the canary did, newest first"`
}

// Canary is a version that runs instead of stable for a share of the
// assignments, or on some systems, until it is promoted or aborted.
type Canary struct {
	Version string    `json:"version"`
	Percent int       `json:"percent,omitempty" doc:"of the assignments, always the same ones"`
	Systems []string  `json:"systems,omitempty" doc:"systems that run it besides"`
	Started time.Time `json:"started"`
	By      string    `json:"by,omitempty"`
	Held    time.Time `json:"held,omitzero" doc:"when it was stopped because it did worse; stable runs everywhere since"`
	Why     Why       `json:"why,omitzero" doc:"why it is held"`
}

// ReleaseChange is one thing that was done to a Release.
type ReleaseChange struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Action string    `json:"action" enum:"activate,rollback,alias,unalias,canary,hold,promote,abort"`
	From   string    `json:"from,omitempty" doc:"version before"`
	To     string    `json:"to,omitempty" doc:"version after"`
	Note   string    `json:"note,omitempty" doc:"the alias, the share of the canary, why it is held"`
}

// Bounds of a Release.
const (
	maxPrevious = 10
	maxChanges  = 50
	MaxAliases  = 20
	MaxCanaries = 1000 // systems that a canary names
)

// ReleaseEdit says who changes a Release, and when.
type ReleaseEdit struct {
	By string
	At time.Time
}

// Activate makes a version stable. A canary of that version has done its work
// and ends; one of another goes on.
func (r Release) Activate(version string, e ReleaseEdit) Release {
	return r.activate("activate", version, e)
}

func (r Release) activate(action, version string, e ReleaseEdit) Release {
	if r.Canary != nil && r.Canary.Version == version {
		r.Canary = nil
	}
	if r.Stable == version {
		return r
	}
	before := r.Stable
	r.Previous = dropped(r.Previous, version)
	if before != "" {
		r.Previous = bounded(append([]string{before}, dropped(r.Previous, before)...), maxPrevious)
	}
	r.Stable = version
	return r.note(e, ReleaseChange{Action: action, From: before, To: version})
}

// Rollback makes the version stable that was before. There is an error when
// there is none. A canary ends: what it was compared with is gone.
func (r Release) Rollback(e ReleaseEdit) (Release, error) {
	if len(r.Previous) == 0 {
		return r, fmt.Errorf("no version of %s was stable before %s; activate one instead", r.Name, orNone(r.Stable))
	}
	before := r.Stable
	r.Stable, r.Previous = r.Previous[0], slices.Clone(r.Previous[1:])
	r.Canary = nil
	return r.note(e, ReleaseChange{Action: "rollback", From: before, To: r.Stable}), nil
}

func orNone(version string) string {
	if version == "" {
		return "now"
	}
	return version
}

// CheckAlias reports why a word cannot be an alias.
func CheckAlias(alias string) error {
	if alias == Stable {
		return fmt.Errorf("the alias %s is the active version: activate one, or roll back", Stable)
	}
	if _, err := strconv.ParseUint(alias, 10, 64); err == nil {
		return fmt.Errorf("the alias %q is a number, and @%s means the %s. upload; add a letter", alias, alias, alias)
	}
	return CheckName(alias)
}

// Point makes an alias mean a version.
func (r Release) Point(alias, version string, e ReleaseEdit) (Release, error) {
	if err := CheckAlias(alias); err != nil {
		return r, err
	}
	before := r.Aliases[alias]
	if before == version {
		return r, nil
	}
	if before == "" && len(r.Aliases) >= MaxAliases {
		return r, fmt.Errorf("%s has %d aliases, the most there can be; remove one first", r.Name, MaxAliases)
	}
	r.Aliases = maps.Clone(r.Aliases)
	if r.Aliases == nil {
		r.Aliases = map[string]string{}
	}
	r.Aliases[alias] = version
	return r.note(e, ReleaseChange{Action: "alias", From: before, To: version, Note: alias}), nil
}

// Forget removes an alias. It is false when there is none of that name.
func (r Release) Forget(alias string, e ReleaseEdit) (Release, bool) {
	before, ok := r.Aliases[alias]
	if !ok {
		return r, false
	}
	r.Aliases = maps.Clone(r.Aliases)
	delete(r.Aliases, alias)
	return r.note(e, ReleaseChange{Action: "unalias", From: before, Note: alias}), true
}

// Try begins a canary, or changes the share of the one that runs.
func (r Release) Try(c Canary, e ReleaseEdit) (Release, error) {
	switch {
	case r.Stable == "":
		return r, fmt.Errorf("%s has no active version to compare with; activate one first", r.Name)
	case c.Version == r.Stable:
		return r, fmt.Errorf("%s %s is the active version: a canary tries another one", r.Name, c.Version)
	case c.Percent < 0 || c.Percent > 100:
		return r, fmt.Errorf("%d percent: write 1 to 100", c.Percent)
	case c.Percent == 0 && len(c.Systems) == 0:
		return r, fmt.Errorf("the canary runs nowhere: give percent, or systems")
	case len(c.Systems) > MaxCanaries:
		return r, fmt.Errorf("the canary names %d systems, more than %d; give percent instead", len(c.Systems), MaxCanaries)
	}
	c.Started, c.By, c.Held, c.Why = e.At, e.By, time.Time{}, Why{}
	c.Systems = slices.Compact(slices.Sorted(slices.Values(c.Systems)))
	if old := r.Canary; old != nil && old.Version == c.Version && old.Held.IsZero() {
		c.Started = old.Started // it is the same trial, only wider or narrower
	}
	r.Canary = &c
	return r.note(e, ReleaseChange{Action: "canary", From: r.Stable, To: c.Version, Note: c.Share()}), nil
}

// Share says in words where a canary runs.
func (c Canary) Share() string {
	var parts []string
	if c.Percent > 0 {
		parts = append(parts, fmt.Sprintf("%d %% of the assignments", c.Percent))
	}
	switch n := len(c.Systems); {
	case n == 1:
		parts = append(parts, "system "+c.Systems[0])
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d systems", n))
	}
	return strings.Join(parts, " and ")
}

// Hold stops a canary that does worse: it stays to be looked at, and stable
// runs everywhere.
func (r Release) Hold(why Why, e ReleaseEdit) Release {
	if r.Canary == nil || !r.Canary.Held.IsZero() {
		return r
	}
	c := *r.Canary
	c.Held, c.Why = e.At, why
	r.Canary = &c
	return r.note(e, ReleaseChange{Action: "hold", From: c.Version, To: r.Stable, Note: why.Text})
}

// Promote makes the canary stable.
func (r Release) Promote(e ReleaseEdit) (Release, error) {
	if r.Canary == nil {
		return r, fmt.Errorf("%s has no canary to promote", r.Name)
	}
	return r.activate("promote", r.Canary.Version, e), nil
}

// Abort ends the canary; stable runs everywhere.
func (r Release) Abort(e ReleaseEdit) (Release, error) {
	if r.Canary == nil {
		return r, fmt.Errorf("%s has no canary to abort", r.Name)
	}
	version := r.Canary.Version
	r.Canary = nil
	return r.note(e, ReleaseChange{Action: "abort", From: version, To: r.Stable}), nil
}

func (r Release) note(e ReleaseEdit, c ReleaseChange) Release {
	c.At, c.By = e.At, e.By
	r.Changes = bounded(append([]ReleaseChange{c}, r.Changes...), maxChanges)
	return r
}

func bounded[T any](list []T, most int) []T { return list[:min(len(list), most)] }

func dropped(list []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == word })
}

// Keeps says why a version must stay: "stable", "the alias next", "the canary",
// "the rollback target". Empty: nothing in r needs it.
func (r Release) Keeps(version string) []string {
	var out []string
	if r.Stable == version {
		out = append(out, "it is the active version")
	}
	for _, alias := range slices.Sorted(maps.Keys(r.Aliases)) {
		if r.Aliases[alias] == version {
			out = append(out, "the alias "+alias+" means it")
		}
	}
	if r.Canary != nil && r.Canary.Version == version {
		out = append(out, "it is the canary")
	}
	if len(r.Previous) > 0 && r.Previous[0] == version {
		out = append(out, "a rollback would go back to it")
	}
	return out
}

// Drop forgets a version that was deleted.
func (r Release) Drop(version string) Release {
	r.Previous = dropped(r.Previous, version)
	return r
}

// Resolve is the version that a pin means for an assignment, and whether it
// runs there as the canary. The assignment may be empty: then the canary does
// not count. The error is for people.
func (r Release) Resolve(pin, assignment string, versions []Module) (version string, canary bool, err error) {
	switch {
	case pin == "" && r.Stable == "":
		return "", false, fmt.Errorf("no version of %s is active; review and activate one on the Collectors page", r.Name)
	case pin == "":
		if r.Canary != nil && assignment != "" && r.Canary.Takes(assignment) {
			return r.Canary.Version, true, nil
		}
		return r.Stable, false, nil
	case r.Aliases[pin] != "":
		return r.Aliases[pin], false, nil
	}
	for _, m := range versions {
		if m.Version == pin {
			return pin, false, nil
		}
	}
	if n, bad := strconv.Atoi(pin); bad == nil {
		for _, m := range versions {
			if m.Number == n {
				return m.Version, false, nil
			}
		}
	}
	names := slices.Sorted(maps.Keys(r.Aliases))
	for _, m := range versions {
		names = append(names, m.Version)
	}
	return "", false, fmt.Errorf("%s has no version, number or alias %q; there are %s", r.Name, pin, strings.Join(append([]string{Stable}, bounded(names, 20)...), ", "))
}

// Takes reports whether a canary runs for an assignment. A wider share keeps
// the assignments of a narrower one.
func (c Canary) Takes(assignment string) bool {
	if !c.Held.IsZero() {
		return false
	}
	system, _ := SplitAssignmentID(assignment)
	if slices.Contains(c.Systems, system) {
		return true
	}
	const parts = 10_000
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Version + "\x00" + assignment))
	n := h.Sum64()
	n = (n ^ n>>32) * 0x9e3779b97f4a7c15 // the low bits of FNV of like texts are alike
	return int((n>>33)%parts) < c.Percent*parts/100
}

// Trial is what the runs of one version came to since a canary began.
type Trial struct {
	Runs   int64         `json:"runs"`
	Errors int64         `json:"errors" doc:"runs that could not ask"`
	Fails  int64         `json:"fails"`
	P99    time.Duration `json:"p99_wall_ns"`
}

func (t Trial) errorRate() float64 {
	if t.Runs == 0 {
		return 0
	}
	return float64(t.Errors) / float64(t.Runs)
}

// CanaryErrors is how many runs of a canary must end with Error before it can
// be held.
const CanaryErrors = 5

// JudgeCanary says why a canary must be held, zero when it need not: at least
// [CanaryErrors] of its runs ended with Error, and their rate is clearly above
// the threshold, which is twice the rate of stable and 1 percentage point, at
// most half-way between the rate of stable and 100 %. Clearly means that the
// lower end of the 95 % Wilson interval of the rate is above it. So 5 of 5 are
// enough when stable is well, 5 of 100 too, and 5 of 1,000 are not. Fail does
// not count: it may be the truth about the target.
func JudgeCanary(canary, stable Trial) Why {
	if canary.Errors < CanaryErrors || canary.Runs < canary.Errors {
		return Why{}
	}
	rate := stable.errorRate()
	most := min(2*rate+0.01, (1+rate)/2)
	const z = 1.96
	n, p := float64(canary.Runs), canary.errorRate()
	lower := (p + z*z/(2*n) - z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))) / (1 + z*z/n)
	if lower <= most {
		return Why{}
	}
	return Because("canary_errors", "{errors} of {runs} runs ended with Error ({rate}), of the active version {stable_errors} of {stable_runs} ({stable_rate})",
		"errors", strconv.FormatInt(canary.Errors, 10), "runs", strconv.FormatInt(canary.Runs, 10), "rate", percent(p),
		"stable_errors", strconv.FormatInt(stable.Errors, 10), "stable_runs", strconv.FormatInt(stable.Runs, 10), "stable_rate", percent(rate))
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

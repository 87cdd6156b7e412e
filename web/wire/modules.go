package wire

import (
	"encoding/json"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// ModuleReview answers POST /api/v1/modules: what the file says of itself, and
// what it wants to reach against what the active version may.
type ModuleReview struct {
	Kind     core.ModuleKind `json:"kind"`
	Manifest core.Manifest   `json:"manifest"`
	Digest   string          `json:"digest" doc:"sha256 of the file, hex"`
	Size     int64           `json:"size_bytes"`
	Stored   bool            `json:"stored" doc:"this file is kept; false: it was only inspected"`
	Number   int             `json:"number,omitempty" doc:"of the stored version: 1 for the first upload of the name"`
	Granted  bool            `json:"granted" doc:"its grant was reviewed already"`
	Active   *core.Module    `json:"active,omitempty" doc:"the version in use, with its grant"`
	GrantDiff
}

// GrantDiff is what a version wants more and less than another is granted.
type GrantDiff struct {
	Against string             `json:"against,omitempty" doc:"the version whose grant it is compared with: the active one, or the newest before it that was reviewed; empty: nothing is granted"`
	Changes []core.GrantChange `json:"changes" doc:"what it wants against what that version is granted"`
}

// GrantReview is the body of POST
// /api/v1/modules/{name}/versions/{version}/grant and .../activate.
type GrantReview struct {
	Grant core.Grant `json:"grant" doc:"at most what the module wants"`
}

// ModuleItem is a module in the list of collectors: GET /api/v1/modules and
// GET /api/v1/modules/{name}.
type ModuleItem struct {
	Name     string               `json:"name"`
	Kind     core.ModuleKind      `json:"kind"`
	Use      string               `json:"use" doc:"what checks write: wasm:NAME or script:NAME"`
	Versions []ModuleVersion      `json:"versions" doc:"newest first"`
	Stable   string               `json:"stable,omitempty" doc:"the active version"`
	Rollback string               `json:"rollback,omitempty" doc:"the version that a rollback goes back to; none: there is nothing to go back to"`
	Aliases  map[string]string    `json:"aliases" doc:"version by alias, without stable"`
	Canary   *ModuleCanary        `json:"canary,omitempty"`
	Changes  []core.ReleaseChange `json:"changes" doc:"activations, rollbacks, aliases and canaries, newest first, at most 50"`
	Checks   []string             `json:"checks" doc:"checks that use it, with a pin or without"`
	Rules    []string             `json:"rules" doc:"rules with a step that it carries out"`
	Systems  int                  `json:"systems" doc:"systems it runs for"`
	Values   int64                `json:"values_bytes" doc:"what it keeps between runs, in all scopes"`
	Error    string               `json:"error,omitempty" doc:"why a version that is in use cannot run"`
}

// ModuleVersion is one version of a module with what is known of its use.
type ModuleVersion struct {
	core.Module
	ModuleState
	Aliases     []string `json:"aliases" doc:"those that mean it, stable too"`
	Pinned      []string `json:"pinned" doc:"checks that pin it by version, number or alias"`
	Assignments int      `json:"assignments" doc:"that run it now"`
	Keeps       []string `json:"keeps" doc:"why it cannot be deleted, a sentence each; empty: it can"`
	GrantDiff
}

// ModuleState is how a version does.
type ModuleState struct {
	Error  string      `json:"error,omitempty" doc:"why it cannot run; it is tried again"`
	Loaded bool        `json:"loaded" doc:"it is ready to run; versions that nothing uses are not"`
	Stats  ModuleStats `json:"stats"`
}

// ModuleStats is what the runs of one version came to since the server
// started. The percentiles are of the newest 512 runs.
type ModuleStats struct {
	Runs      int64         `json:"runs"`
	Errors    int64         `json:"errors" doc:"runs that could not ask"`
	Fails     int64         `json:"fails"`
	Last      time.Time     `json:"last,omitzero" doc:"end of the newest run"`
	WallP50   float64       `json:"wall_p50_ms"`
	WallP99   float64       `json:"wall_p99_ms"`
	MemoryP99 int64         `json:"memory_p99_bytes"`
	MemoryMax int64         `json:"memory_max_bytes" doc:"the most that a run used since start"`
	FuelP99   int64         `json:"fuel_p99"`
	Series    []ModulePoint `json:"series" doc:"the last 60 minutes, oldest first, the one that goes on last; empty when it did not run in them"`
}

// ModulePoint is one minute of a version.
type ModulePoint struct {
	Runs   int     `json:"runs"`
	Errors int     `json:"errors"`
	Fails  int     `json:"fails"`
	Wall   float64 `json:"wall_ms" doc:"the mean; 0 without runs"`
}

// ModuleCanary is a canary that runs or is held, with what it is judged by.
type ModuleCanary struct {
	core.Canary
	Assignments int        `json:"assignments" doc:"that run it now"`
	Trial       core.Trial `json:"trial" doc:"its runs since it began, or since the server started"`
	Against     core.Trial `json:"against" doc:"those of the active version meanwhile"`
}

// CanaryStart is the body of PUT /api/v1/modules/{name}/canary.
type CanaryStart struct {
	Version string   `json:"version" doc:"a version whose grant was reviewed; a number or an alias will do"`
	Percent int      `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"of the assignments"`
	Systems []string `json:"systems,omitempty" doc:"systems that run it besides"`
}

// AliasPoint is the body of PUT /api/v1/modules/{name}/aliases/{alias}.
type AliasPoint struct {
	Version string `json:"version" doc:"a version; its number or another alias will do"`
}

// ReleaseEffect answers what moves a release: activate, rollback, promote,
// abort, canary and aliases.
type ReleaseEffect struct {
	Module      ModuleItem `json:"module"`
	Assignments int        `json:"assignments" doc:"that run another version than before, from their next run on"`
	Text        string     `json:"text" doc:"for people: 86 assignments, next run"`
}

// TestRun is POST /api/v1/modules/{name}/test.
type TestRun struct {
	Version string          `json:"version,omitempty" doc:"version, number or alias; the active one when empty, or else the newest"`
	Config  json.RawMessage `json:"config,omitempty"`
	System  string          `json:"system,omitempty" doc:"id of a system to run as"`
	As      *TestSystem     `json:"as,omitempty" doc:"a system that is not stored, instead of system"`
	Timeout core.Duration   `json:"timeout,omitempty" doc:"default 10s"`
	Grant   *core.Grant     `json:"grant,omitempty" doc:"for this test alone, at most what the module wants; default: its grant, or nothing when that was not reviewed"`
	Compare bool            `json:"compare,omitempty" doc:"run the active version with the same request too"`
}

// TestSystem is a system made up for a test run.
type TestSystem struct {
	ID   string            `json:"id"`
	Name string            `json:"name,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
}

// TestReport answers [TestRun].
type TestReport struct {
	Version string         `json:"version"`
	Outcome core.Outcome   `json:"outcome"`
	Why     core.Why       `json:"why,omitzero"`
	Summary string         `json:"summary"`
	Samples core.Samples   `json:"samples"`
	Logs    []core.LogLine `json:"logs"`
	Usage   core.Usage     `json:"usage" doc:"each host call too, and what allowed or denied it"`
	Limits  core.Limits    `json:"limits"`
	Wall    core.Duration  `json:"wall_limit"`
	Grant   core.Grant     `json:"grant" doc:"what it could reach in this run"`
	Active  *TestReport    `json:"active,omitempty" doc:"of a comparison: the same request to the active version"`
}

// ReplayRequest is POST /api/v1/runs/{id}/replay.
type ReplayRequest struct {
	Step    string `json:"step,omitempty" doc:"id of the step; may be left out when only one has a recording"`
	Version string `json:"version,omitempty" doc:"replay with another version, number or alias of the module; default the one that ran"`
}

// ReplayReport answers [ReplayRequest]: the run was repeated in the sandbox
// with the recorded answers of the host, and reached nothing.
type ReplayReport struct {
	Step       string         `json:"step"`
	Module     string         `json:"module" doc:"NAME@VERSION of what was replayed"`
	Recorded   string         `json:"recorded" doc:"NAME@VERSION of what ran"`
	Identical  bool           `json:"identical" doc:"the same output, the same end and the same fuel"`
	Outcome    core.Outcome   `json:"outcome"`
	Was        core.Outcome   `json:"was" doc:"the outcome that was recorded, before assertions"`
	Why        core.Why       `json:"why,omitzero"`
	Summary    string         `json:"summary"`
	Samples    core.Samples   `json:"samples"`
	SameOutput bool           `json:"same_output"`
	Diverged   string         `json:"diverged,omitempty" doc:"the first call to the host that differs from the recording, in words"`
	DivergedAt int            `json:"diverged_at,omitempty" doc:"its place among the recorded calls, from 1"`
	Logs       []core.LogLine `json:"logs"`
	Fuel       int64          `json:"fuel"`
	FuelWas    int64          `json:"fuel_was"`
	Usage      core.Usage     `json:"usage"`
}

package core

import (
	"encoding/json"
	"time"
)

// Samples are named numbers, strings and booleans gathered by a Run. Values
// are float64, int64, string, bool, time.Duration, time.Time or nil.
type Samples map[string]any

// RunContext is what every collector is told of what it is asked for. A name
// that is missing falls back to the id.
type RunContext struct {
	Check  CheckRef  `json:"check"`
	System SystemRef `json:"system"`
}

// CheckRef names a Check to a collector or an expression.
type CheckRef struct {
	ID              string  `json:"id" expr:"id"`
	Name            string  `json:"name" expr:"name"`
	IntervalSeconds float64 `json:"interval_seconds" expr:"interval_seconds"`
}

// SystemRef names a System to a collector or an expression.
type SystemRef struct {
	ID   string            `json:"id" expr:"id"`
	Name string            `json:"name" expr:"name"`
	Tags map[string]string `json:"tags" expr:"tags"`
}

// Ref is what collectors and expressions see of s.
func (s System) Ref() SystemRef {
	tags := s.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return SystemRef{ID: s.ID, Name: s.Label(), Tags: tags}
}

// Result is what a collector gathered in one Run.
type Result struct {
	Outcome Outcome
	Why     Why           // the reason when Outcome is not Pass
	Summary string        // one line for people: "200 in 12 ms"
	Latency time.Duration // of the target, as the collector measured it
	Samples Samples       // stored with the Run
	Facts   Samples       // seen by assertions, not stored: body, headers, json
	Phases  []Phase       // what took how long
	Logs    []LogLine     // what the collector said
	Usage   *Usage        // what a Module used, nil for built-in collectors

	Module    string     // NAME@VERSION of what ran, empty for built-in collectors
	Recording *Recording // of a Module's run; nil for built-in collectors
}

// CodeImplied is the code of the Why of a Fail that a collector only presumes,
// because the author of the check said nothing about the sample that its
// argument "sample" names. An assertion about that sample takes its place.
const CodeImplied = "implied"

// Phase is a part of the time of a Run, offsets from its start.
type Phase struct {
	Name  string        `json:"name"`
	Start time.Duration `json:"start_ns"`
	Took  time.Duration `json:"took_ns"`
}

// LogLine is one line that a Module wrote.
type LogLine struct {
	After time.Duration `json:"after_ns"`
	Level string        `json:"level"`
	Text  string        `json:"text"`
}

// SampleDecl declares a sample that a collector reports, for the typed
// environment of assertions, for charts and for completion.
type SampleDecl struct {
	Name string     `json:"name"`
	Type SampleType `json:"type"`
	Kind string     `json:"kind,omitempty" doc:"gauge, counter, enum; default gauge for numbers"`
	Unit string     `json:"unit,omitempty" doc:"for example ms, bytes, percent"`
	Doc  string     `json:"doc,omitempty"`
}

// SampleType is the type of a declared sample or fact.
type SampleType string

// The values of SampleType.
const (
	NumberSample   SampleType = "number"
	IntegerSample  SampleType = "integer"
	StringSample   SampleType = "string"
	BoolSample     SampleType = "bool"
	DurationSample SampleType = "duration"
	TimeSample     SampleType = "time"
	MapSample      SampleType = "map"  // of string to string
	AnySample      SampleType = "any"  // JSON of any shape
	ListSample     SampleType = "list" // of parameters and results of functions alone
)

// CollectorInfo describes a collector: what it is called, what configuration
// it takes and what it reports.
type CollectorInfo struct {
	Name    string          `json:"name"`
	Doc     string          `json:"doc,omitempty"`
	Schema  json.RawMessage `json:"schema" doc:"JSON schema of its configuration"`
	Samples []SampleDecl    `json:"samples" doc:"what it reports and stores"`
	Facts   []SampleDecl    `json:"facts,omitempty" doc:"what assertions can see besides; not stored"`
}

// Run is one execution of an Assignment.
type Run struct {
	ID         int64         `json:"id" doc:"given by the ledger when it is recorded, ascending"`
	Assignment string        `json:"assignment"`
	Due        time.Time     `json:"due" doc:"when it should have started; equal to started for run now"`
	Started    time.Time     `json:"started"`
	Ended      time.Time     `json:"ended"`
	Manual     bool          `json:"manual,omitempty" doc:"asked for by a person or a rule, not by the schedule"`
	Outcome    Outcome       `json:"outcome"`
	Why        Why           `json:"why,omitzero" doc:"the reason when the outcome is not pass"`
	Summary    string        `json:"summary,omitempty"`
	Latency    time.Duration `json:"latency_ns"`
	Samples    Samples       `json:"samples,omitempty" doc:"of a check with several steps the names are step.sample"`
	Steps      []StepResult  `json:"steps,omitempty" doc:"detail of each collect step; of passing runs it is kept only with a recording"`
	Epoch      int64         `json:"-"` // of the lease under which it began, 0 when that is not said; it is not stored
}

// StepResult is the part of one collect step in a Run.
type StepResult struct {
	ID      string    `json:"id"`
	Use     string    `json:"use"`
	Outcome Outcome   `json:"outcome"`
	Why     Why       `json:"why,omitzero"`
	Summary string    `json:"summary,omitempty"`
	Asserts []Verdict `json:"asserts,omitempty"`
	Phases  []Phase   `json:"phases,omitempty"`
	Logs    []LogLine `json:"logs,omitempty"`
	Usage   *Usage    `json:"usage,omitempty"`
	// Module is what ran, of a module or script: NAME@VERSION.
	Module    string     `json:"module,omitempty"`
	Replay    bool       `json:"replay,omitempty" doc:"its recording is kept: it can be replayed"`
	Recording *Recording `json:"-"` // of this run, when it is to be kept
}

// Verdict is what became of one assertion.
type Verdict struct {
	Expr string `json:"expr"`
	OK   bool   `json:"ok"`
	Warn bool   `json:"warn,omitempty" doc:"a warn expression, not an assertion"`
	Why  string `json:"why,omitempty" doc:"the values that decided"`
}

// Usage is what one call of a Module used of its limits.
type Usage struct {
	Wall     time.Duration `json:"wall_ns"`
	Memory   int64         `json:"memory_bytes" doc:"peak linear memory"`
	Fuel     int64         `json:"fuel" doc:"instructions"`
	Output   int64         `json:"output_bytes"`
	Logs     int64         `json:"log_bytes"`
	HTTP     int           `json:"http_calls"`
	TCP      int           `json:"tcp_calls,omitempty"`
	TCPBytes int64         `json:"tcp_bytes,omitempty"`
	DNS      int           `json:"dns_calls,omitempty"`
	KV       int64         `json:"kv_bytes,omitempty" doc:"kept in its scope after the run, when it wrote"`
	HostCall int           `json:"host_calls"`
	Calls    []HostCall    `json:"calls,omitempty" doc:"of a test run: each host call"`
}

// HostCall is one call of a Module to the host, as a test run shows it.
type HostCall struct {
	After   time.Duration `json:"after_ns"`
	Took    time.Duration `json:"took_ns"`
	Name    string        `json:"name"`
	Detail  string        `json:"detail,omitempty"`
	Allowed bool          `json:"allowed"`
	Grant   string        `json:"grant,omitempty" doc:"what decided"`
}

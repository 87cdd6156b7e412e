// Package wire holds what browsers and the server say to each other: the
// bodies of the HTTP API that are not core values, and the frames of the
// socket. The TypeScript types of the UI are generated from it and from core.
//
// Instants are milliseconds since 1970 UTC in frames and columns (small and
// cheap to compare) and RFC 3339 text in objects.
package wire

//go:generate go run ./gen

import (
	"encoding/json"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Fleet is GET /api/v1/fleet: every System the person may see, in columns.
// Its ETag is "epoch:seq". A handle is a small number that stands for a System
// within an epoch.
type Fleet struct {
	Epoch  string              `json:"epoch"`
	Seq    int64               `json:"seq"`
	Now    int64               `json:"now"`
	H      []int               `json:"h"`
	ID     []string            `json:"id"`
	Name   []string            `json:"name"`
	Groups [][]string          `json:"groups"`
	Tags   []map[string]string `json:"tags"`
	Health string              `json:"health" doc:"one digit a system: 0 unknown, 1 healthy, 2 degraded, 3 unhealthy, 4 stale"`
	Flags  []int               `json:"flags" doc:"see FlagProblem and the others"`
	Since  []int64             `json:"since"`
	Why    []core.Why          `json:"why"`
	OK     []int               `json:"ok" doc:"checks that are healthy"`
	Total  []int               `json:"total" doc:"checks that are enabled"`
}

// Flags of a System in [Fleet] and [FleetRow].
const (
	FlagProblem     = 1 << iota // a check of it could not be asked
	FlagMaintenance             // in maintenance
	FlagSilenced                // silenced
	FlagFiring                  // an episode of a rule is open for it
	FlagCaused                  // a system upstream is unhealthy
)

// FleetRow is the newest state of one System in a delta of topic fleet. Gone
// is a tombstone. ID, Name, Groups and Tags are present when they changed and
// for a new handle.
type FleetRow struct {
	H      int               `json:"h"`
	Health core.Health       `json:"health"`
	Flags  int               `json:"flags,omitempty"`
	Since  int64             `json:"since"`
	Why    core.Why          `json:"why"`
	OK     int               `json:"ok"`
	Total  int               `json:"total"`
	ID     string            `json:"id,omitempty"`
	Name   string            `json:"name,omitempty"`
	Groups []string          `json:"groups,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Gone   bool              `json:"gone,omitempty"`
}

// Row is the newest detail of one visible System, topic rows.
type Row struct {
	H      int     `json:"h"`
	Ring   string  `json:"ring" doc:"the newest 30 outcomes, oldest first: p w f e"`
	P95    float64 `json:"p95" doc:"latency of the newest runs in ms, -1 when unknown"`
	Uptime float64 `json:"uptime" doc:"share of the last 24 h that was healthy or degraded, 0 to 1; -1 when unknown"`
	Last   int64   `json:"last" doc:"end of the newest run, 0 when none"`
	Next   int64   `json:"next" doc:"next due, 0 when none"`
}

// Frame from the browser. T is hello, sub, unsub, hz or pause.
type Frame struct {
	T     string  `json:"t"`
	V     int     `json:"v,omitempty"`
	Build string  `json:"build,omitempty"`
	Epoch string  `json:"epoch,omitempty"`
	Subs  []Frame `json:"subs,omitempty"`
	ID    int     `json:"id,omitempty"`
	Topic string  `json:"topic,omitempty" doc:"fleet, rows, activity, system:ID, rule:ID"`
	IDs   []int   `json:"ids,omitempty" doc:"rows: handles, at most 200"`
	Since int64   `json:"since,omitempty"`
	Max   int     `json:"max,omitempty" doc:"hz: frames a second, 1 to 10"`
}

// Push is a frame to the browser. T is welcome, d (fleet or rows delta), e
// (events), reset, hb, err or bye.
type Push struct {
	T       string     `json:"t"`
	Epoch   string     `json:"epoch,omitempty"`
	Seq     int64      `json:"seq,omitempty"`
	Now     int64      `json:"now,omitempty"`
	HB      int        `json:"hb,omitempty" doc:"ms between heartbeats"`
	Build   string     `json:"build,omitempty"`
	You     *Me        `json:"you,omitempty"`
	Sub     int        `json:"sub,omitempty"`
	Fleet   []FleetRow `json:"fleet,omitempty"`
	Rows    []Row      `json:"rows,omitempty"`
	Events  []Event    `json:"ev,omitempty"`
	Why     string     `json:"why,omitempty" doc:"of reset: epoch, gap, rights, overflow; of bye: restart"`
	Code    string     `json:"code,omitempty"`
	Msg     string     `json:"msg,omitempty"`
	Hz      int        `json:"hz,omitempty" doc:"the rate the server sends at now"`
	RetryMS [2]int     `json:"retry_ms,omitzero"`
}

// Event is one entry of an event topic; one of its fields is set.
type Event struct {
	Transition *core.Transition `json:"transition,omitempty"`
	Run        *core.Run        `json:"run,omitempty"`
	Decision   *core.Decision   `json:"decision,omitempty"`
	Firing     *core.Firing     `json:"firing,omitempty"`
	Config     string           `json:"config,omitempty" doc:"kind:id of an object that was edited"`
}

// Close codes of the socket. 4400 to 4499 belong to Tocsin.
const (
	CloseRestart = 1012
	CloseSession = 4401 // session ended: go to sign-in, keep the URL
	CloseRights  = 4403
	CloseNoHello = 4408
	CloseTooSlow = 4409
	CloseTooOld  = 4426 // protocol too old: reload
)

// Me is who the caller is.
type Me struct {
	User string `json:"user"`
	Role string `json:"role" doc:"viewer, operator, editor, admin"`
}

// SystemDetail is GET /api/v1/systems/{id}/detail: what the system page shows.
type SystemDetail struct {
	System      core.System        `json:"system"`
	Version     int64              `json:"version"`
	Rolled      core.Rolled        `json:"rolled"`
	Headline    core.Why           `json:"headline" doc:"the sentence of the why card"`
	Flags       int                `json:"flags"`
	Checks      []SystemCheck      `json:"checks" doc:"worst first"`
	Transitions []core.Transition  `json:"transitions" doc:"newest first, at most 50"`
	Rules       []SystemRule       `json:"rules" doc:"rules that looked at it lately or wait on it"`
	Uptime      map[string]float64 `json:"uptime" doc:"1h, 24h, 7d, 30d: share healthy or degraded, of the time it was known; -1 when unknown"`
	Now         time.Time          `json:"now"`
}

// SystemCheck is one Assignment on the system page.
type SystemCheck struct {
	Assignment core.Assignment `json:"assignment"`
	Check      string          `json:"check" doc:"its name for people"`
	Standing   core.Standing   `json:"standing"`
	Progress   string          `json:"progress" doc:"how far from the next state"`
	Ring       string          `json:"ring" doc:"as Row.Ring"`
	Last       *core.Run       `json:"last,omitempty"`
	Next       *time.Time      `json:"next,omitempty"`
	Collectors []string        `json:"collectors"`
}

// SystemRule is one Rule on the system page.
type SystemRule struct {
	Rule     string         `json:"rule"`
	Name     string         `json:"name"`
	State    string         `json:"state" doc:"for people: waiting 1:12, 2 of 3 in window, fired, quiet"`
	Open     bool           `json:"open" doc:"an episode is open"`
	Decision *core.Decision `json:"decision,omitempty" doc:"the newest"`
}

// SpanSeries is GET /api/v1/systems/{id}/timeline: health over time.
type SpanSeries struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Spans []Span    `json:"spans" doc:"in order, without gaps"`
}

// Span is a stretch of one Health.
type Span struct {
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Health core.Health `json:"health"`
	Why    core.Why    `json:"why,omitzero"`
}

// LatencySeries is GET /api/v1/assignments/{id}/latency: steps of equal width; a
// step without runs is null in the columns of latency. It is made of runs that
// are added up, so that it reaches back further than the runs that are kept;
// percentiles are within one percent.
type LatencySeries struct {
	From  int64        `json:"from" doc:"ms"`
	Step  int64        `json:"step" doc:"ms"`
	Tier  string       `json:"tier" doc:"what it is made of: minutes, hours or days"`
	P50   []*float64   `json:"p50" doc:"ms"`
	P95   []*float64   `json:"p95" doc:"ms"`
	P99   []*float64   `json:"p99" doc:"ms"`
	Up    []*float64   `json:"up" doc:"share healthy or degraded, of the time it was known; null when it was not"`
	Fails []int        `json:"fails"`
	Runs  []int        `json:"runs" doc:"that asked the target"`
	Whole LatencyPoint `json:"whole" doc:"of all steps together"`
}

// LatencyPoint is one step of a LatencySeries, or all of them.
type LatencyPoint struct {
	P50   *float64 `json:"p50" doc:"ms"`
	P95   *float64 `json:"p95" doc:"ms"`
	P99   *float64 `json:"p99" doc:"ms"`
	Up    *float64 `json:"up"`
	Fails int      `json:"fails"`
	Runs  int      `json:"runs"`
}

// Page is a list with a cursor: ask for the next with before=Next.
type Page[T any] struct {
	Items []T   `json:"items"`
	Next  int64 `json:"next,omitempty" doc:"0: there is no more"`
}

// Stored is an object with its version, as GET returns it. PUT takes the
// object itself and the version in If-Match; a PUT without it overwrites.
type Stored[T any] struct {
	Object  T         `json:"object"`
	Version int64     `json:"version"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	By      string    `json:"by,omitempty"`
}

// RuleItem is a Rule in the list of rules.
type RuleItem struct {
	Stored[core.Rule]
	Gate     string         `json:"gate" doc:"the gate in words"`
	Demands  core.Gate      `json:"demands,omitzero" doc:"the gate with its preset written out"`
	Open     int            `json:"open" doc:"episodes open now"`
	Fired    int            `json:"fired" doc:"firings in the last 24 h"`
	Last     *core.Decision `json:"last,omitempty"`
	Problems core.Problems  `json:"problems,omitempty" doc:"why it is quarantined"`
}

// Episode is one that fired and is not closed.
type Episode struct {
	Episode  string         `json:"episode"`
	Rule     string         `json:"rule"`
	Title    string         `json:"title" doc:"what people call the rule"`
	Subjects []core.Subject `json:"subjects"`
	Fired    int            `json:"fired" doc:"how often"`
	LastAt   *time.Time     `json:"last_at,omitempty" doc:"when it fired last"`
	Text     string         `json:"text" doc:"for people"`

	Acknowledged *core.Acknowledgement `json:"acknowledged,omitempty" doc:"who takes care of it"`
}

// Acknowledge is what a person says who takes care of an episode.
type Acknowledge struct {
	Comment string `json:"comment,omitempty"`
}

// RuleState is one partition of a Rule that waits for something or has an open
// episode, from GET /api/v1/rules/{id}/state.
type RuleState struct {
	Partition string         `json:"partition"`
	Subjects  []core.Subject `json:"subjects"`
	Text      string         `json:"text" doc:"for people: waiting 1:12, 2 of 3 in window, fired, held back by unless"`
	Open      bool           `json:"open" doc:"an episode is open"`
	Episode   string         `json:"episode,omitempty"`
	Fired     int            `json:"fired" doc:"firings of the episode"`
	Held      core.Stage     `json:"held,omitempty" doc:"the stage that holds an offer back"`
	N         int            `json:"n,omitempty" doc:"of a window: events in it"`
	Need      int            `json:"need,omitempty" doc:"of a window: events that open it"`
	NextAt    *time.Time     `json:"next_at,omitempty" doc:"when its timer is due"`
	LastAt    *time.Time     `json:"last_at,omitempty" doc:"when the episode fired last"`

	Acknowledged *core.Acknowledgement `json:"acknowledged,omitempty" doc:"who takes care of the episode"`
}

// BacktestAsk is POST /api/v1/rules/backtest: what would a rule have made of the
// stored changes. It is compared with the saved rule of the same id, if any.
type BacktestAsk struct {
	Rule  core.Rule     `json:"rule"`
	Span  core.Duration `json:"span,omitempty" doc:"how far back; default 7d, at most 366d"`
	Until *time.Time    `json:"until,omitempty" doc:"default now"`
	About *core.Subject `json:"about,omitempty" doc:"list what is decided about it, with the value of each part of a condition"`
}

// Failure is the body of every answer that is an error, as RFC 9457 has it:
// application/problem+json.
type Failure struct {
	Title   string        `json:"title"`
	Status  int           `json:"status"`
	Detail  string        `json:"detail,omitempty" doc:"what went wrong and how to mend it"`
	Request string        `json:"request_id,omitempty" doc:"names the request in the log of the server"`
	Version int64         `json:"version,omitempty" doc:"of 412: the version that is stored now"`
	Errors  core.Problems `json:"errors,omitempty" doc:"what is wrong with the body, one by one"`
}

// Validated answers a request to look at an object without saving it.
type Validated struct {
	OK       bool          `json:"ok"`
	Problems core.Problems `json:"problems"`
	Gate     string        `json:"gate,omitempty" doc:"of a rule: its gate in words"`
}

// FiringDetail is a Firing with what became of its steps.
type FiringDetail struct {
	Firing     core.Firing     `json:"firing"`
	Deliveries []core.Delivery `json:"deliveries" doc:"in order of place"`
}

// LimitList is GET /api/v1/limits: every limit that a caller can meet.
type LimitList struct {
	BodyBytes        int64         `json:"body_bytes" doc:"of a request that carries JSON"`
	ApplyBytes       int64         `json:"apply_bytes" doc:"of POST /api/v1/apply"`
	ModuleBytes      int64         `json:"module_bytes" doc:"of an uploaded module"`
	PageItems        int           `json:"page_items" doc:"of one page of a list"`
	Sockets          int           `json:"sockets" doc:"of the instance"`
	SocketsSession   int           `json:"sockets_session" doc:"of one session"`
	Subscriptions    int           `json:"subscriptions" doc:"of one socket"`
	VisibleRows      int           `json:"visible_rows" doc:"handles of one rows subscription"`
	FrameBytes       int64         `json:"frame_bytes" doc:"of a frame from the browser"`
	SignInsPerMinute int           `json:"sign_ins_per_minute" doc:"of one address"`
	SessionIdle      core.Duration `json:"session_idle"`
	SessionAge       core.Duration `json:"session_age"`
	TestTimeout      core.Duration `json:"test_timeout" doc:"of a test run of a module"`
	Module           core.Limits   `json:"module" doc:"of one run of a module, when its grant says nothing"`
	ModuleMost       core.Limits   `json:"module_most" doc:"the most that a grant can say"`
	ModuleKVCalls    int           `json:"module_kv_calls" doc:"calls about kept values in one run; no grant moves it"`
}

// ExprCheck is POST /api/v1/rules/expr: look at one expression.
type ExprCheck struct {
	Expr  string          `json:"expr" maxLength:"20000"`
	As    string          `json:"as" enum:"bool,text,any" doc:"what it must be"`
	Where string          `json:"where" enum:"when,while,unless,by,trigger,step,assert,match,silence" doc:"where it stands: names its environment"`
	Check json.RawMessage `json:"check,omitempty" doc:"where=assert: the collect step it belongs to"`
}

// ExprReport answers [ExprCheck].
type ExprReport struct {
	OK          bool          `json:"ok"`
	Type        string        `json:"type,omitempty"`
	Refs        []string      `json:"refs"`
	Timed       bool          `json:"timed,omitempty" doc:"its value can change as time passes"`
	Diagnostics core.Problems `json:"diagnostics"`
	Matches     *int          `json:"matches,omitempty" doc:"of a condition over system: how many systems match now"`
	Systems     int           `json:"systems" doc:"how many there are"`
	TookMicros  int64         `json:"took_us"`
}

// Applied is the answer of POST /api/v1/apply (YAML documents, dry_run=true to
// try).
type Applied struct {
	Items  []AppliedItem `json:"items"`
	DryRun bool          `json:"dry_run"`
}

// AppliedItem is one object of an apply.
type AppliedItem struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Action string `json:"action" enum:"created,updated,unchanged,deleted"`
}

// Instance is GET /api/v1/instance.
type Instance struct {
	Version     string      `json:"version"`
	Started     time.Time   `json:"started"`
	Demo        bool        `json:"demo"`
	Systems     int         `json:"systems"`
	Checks      int         `json:"checks"`
	Assignments int         `json:"assignments"`
	Rules       int         `json:"rules"`
	Engine      EngineStats `json:"engine"`
}

// EngineStats is how the engine does.
type EngineStats struct {
	Runs     int64   `json:"runs" doc:"recorded since start"`
	Skipped  int64   `json:"skipped" doc:"ticks passed over because the run before was not over"`
	Inflight int     `json:"inflight"`
	Waiting  int     `json:"waiting" doc:"due, and waiting for a worker"`
	Unstored int     `json:"unstored" doc:"done, and waiting for storage"`
	Buffer   int     `json:"buffer" doc:"how many may wait for storage before some are dropped"`
	Dropped  int64   `json:"dropped" doc:"results dropped because storage was away too long, the oldest passing ones first"`
	Foreign  int64   `json:"foreign" doc:"results not stored because their check was deleted, or another node ran it, by then"`
	LateP99  float64 `json:"late_p99_ms"`
	Error    string  `json:"error,omitempty" doc:"why storage fails now"`
}

// DemoTarget is one service of the demo shop, GET /api/v1/demo.
type DemoTarget struct {
	System string `json:"system"`
	Mode   string `json:"mode" enum:"up,down,slow,flaky"`
	URL    string `json:"url"`
	Hits   int    `json:"hits" doc:"requests so far"`
}

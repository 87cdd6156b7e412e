package core

import (
	"encoding/json"
	"time"
)

// DecisionVerdict is what a Decision came to.
type DecisionVerdict string

// The values of DecisionVerdict.
const (
	Fire     DecisionVerdict = "fire"     // the gate let the rule act
	Hold     DecisionVerdict = "hold"     // not yet: a window fills, a dwell runs
	Suppress DecisionVerdict = "suppress" // would act, but is held back; offered again
	Drop     DecisionVerdict = "drop"     // does not concern it, or no longer holds
	Recover  DecisionVerdict = "recover"  // an episode that fired closed
)

// Stage is a part of the way from a change to an action.
type Stage string

// The stages, in order.
const (
	StageTrigger  Stage = "trigger"
	StageWhen     Stage = "when"
	StageBy       Stage = "by"
	StageWindow   Stage = "window"
	StageDwell    Stage = "dwell"
	StageUnless   Stage = "unless"
	StageCooldown Stage = "cooldown"
	StageMode     Stage = "mode"
	StageFiring   Stage = "firing"
)

// Decision is what one Rule made of one event or one timer, and why.
type Decision struct {
	ID        int64           `json:"id" doc:"given when it is stored, ascending"`
	Rule      string          `json:"rule"`
	Revision  string          `json:"revision" doc:"hash of the text that matters to the gate"`
	Seq       int64           `json:"seq,omitempty" doc:"the transition; 0 when a run or a timer decided"`
	Run       int64           `json:"run,omitempty" doc:"the run, of a rule that looks at runs"`
	At        time.Time       `json:"at" doc:"event time, or the instant of the timer"`
	Decided   time.Time       `json:"decided" doc:"when it was decided"`
	Late      bool            `json:"late,omitempty" doc:"decided more than a minute after its time"`
	Subject   Subject         `json:"subject"`
	Partition string          `json:"partition,omitempty"`
	Verdict   DecisionVerdict `json:"verdict"`
	Stage     Stage           `json:"stage" doc:"the stage that decided"`
	Stages    []StageResult   `json:"stages"`
	Episode   string          `json:"episode,omitempty"`
	Firing    string          `json:"firing,omitempty"`
	NextAt    *time.Time      `json:"next_at,omitempty" doc:"when it could next fire if nothing changes"`
	From      Health          `json:"from"`
	To        Health          `json:"to"`
}

// StageResult is what one stage said.
type StageResult struct {
	Stage  Stage         `json:"stage"`
	OK     bool          `json:"ok"`
	Text   string        `json:"text" doc:"for people, with the numbers"`
	Nodes  []ExplainNode `json:"nodes,omitempty" doc:"of a condition: the value of each sub-expression"`
	N      int           `json:"n,omitempty" doc:"of a window: events in it"`
	Need   int           `json:"need,omitempty" doc:"of a window: events that open it"`
	Of     int           `json:"of,omitempty" doc:"of a window: it counts among this many of the newest events"`
	Exit   int           `json:"exit,omitempty" doc:"of a window: it closes at this many or fewer"`
	Quiet  Duration      `json:"quiet,omitempty" doc:"of a window: it closes after this long without an event"`
	Until  *time.Time    `json:"until,omitempty" doc:"of a dwell or cooldown: when it ends"`
	Failed bool          `json:"failed,omitempty" doc:"the expression could not be evaluated"`
}

// ExplainNode is one sub-expression and its value.
type ExplainNode struct {
	Expr    string `json:"expr"`
	Value   string `json:"value,omitempty" doc:"as expr would write it"`
	Depth   int    `json:"depth"`
	Skipped bool   `json:"skipped,omitempty" doc:"not evaluated: its left side decided"`
	Error   string `json:"error,omitempty"`
	From    int    `json:"from" doc:"first byte in the source"`
	To      int    `json:"to"`
}

// Firing is one time a Gate let a Rule act. It pins the rule as it was.
type Firing struct {
	ID        string          `json:"id" doc:"(rule, revision, partition, episode, n): the idempotency key of all its deliveries"`
	Rule      string          `json:"rule"`
	Revision  string          `json:"revision"`
	Partition string          `json:"partition"`
	Episode   string          `json:"episode"`
	N         int             `json:"n" doc:"which firing of its episode; 0 is the recovery"`
	Recovery  bool            `json:"recovery,omitempty"`
	Subject   Subject         `json:"subject"`
	At        time.Time       `json:"at" doc:"event time"`
	Created   time.Time       `json:"created"`
	Late      bool            `json:"late,omitempty"`
	Status    FiringStatus    `json:"status"`
	Steps     []Step          `json:"steps"`
	Env       json.RawMessage `json:"env" doc:"the facts its texts are rendered from"`
	Why       Why             `json:"why"`
}

// FiringStatus is where a Firing is.
type FiringStatus string

// The values of FiringStatus. All but queued and running are final.
const (
	FiringQueued    FiringStatus = "queued"
	FiringRunning   FiringStatus = "running"
	FiringDone      FiringStatus = "done"
	FiringFailed    FiringStatus = "failed"
	FiringCancelled FiringStatus = "cancelled"
)

// Delivery is the durable, retried carrying out of one Step of a Firing.
type Delivery struct {
	ID       int64           `json:"id"`
	Firing   string          `json:"firing"`
	Rule     string          `json:"rule"`
	Place    string          `json:"place" doc:"of the step in its firing, from 0: 2, in a branch 2.then.0 or 2.1.0, in a repeat 3[1].0"`
	Kind     string          `json:"kind" doc:"what the step does: its action, or if, choose, parallel, repeat, delay, wait, let or stop"`
	Step     Step            `json:"step" doc:"without the steps in it"`
	Key      string          `json:"key" doc:"idempotency key: firing id / step id, and which time of a repeat"`
	Status   DeliveryStatus  `json:"status"`
	Attempts int             `json:"attempts"`
	Next     time.Time       `json:"next" doc:"when it may be tried"`
	Error    string          `json:"error,omitempty" doc:"of the newest attempt"`
	Output   json.RawMessage `json:"output,omitempty" doc:"what later steps see as steps.<id>"`
	Updated  time.Time       `json:"updated"`
	Trace    *StepTrace      `json:"trace,omitempty" doc:"of the newest attempt of an action of a module"`
}

// StepTrace is what a Module said and used in one attempt of a step.
type StepTrace struct {
	Module  string    `json:"module" doc:"what ran: NAME@VERSION"`
	Summary string    `json:"summary,omitempty"`
	Logs    []LogLine `json:"logs,omitempty"`
	Usage   *Usage    `json:"usage,omitempty"`
}

// DeliveryStatus is where a Delivery is.
type DeliveryStatus string

// The values of DeliveryStatus. All but waiting and running are final.
const (
	DeliveryWaiting   DeliveryStatus = "waiting"
	DeliveryRunning   DeliveryStatus = "running"
	DeliveryDone      DeliveryStatus = "done"
	DeliverySkipped   DeliveryStatus = "skipped" // its if was false
	DeliveryDead      DeliveryStatus = "dead"    // attempts used up; can be sent again
	DeliveryCancelled DeliveryStatus = "cancelled"
)

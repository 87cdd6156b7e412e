package core

import "time"

// Backtest is what rules would have made of changes that are stored. Nothing
// is sent.
type Backtest struct {
	From    time.Time     `json:"from" doc:"later than asked for when older changes are not stored any more"`
	To      time.Time     `json:"to"`
	Changes int           `json:"changes" doc:"transitions that were played"`
	Runs    int           `json:"runs,omitempty" doc:"runs that were played, of a rule that looks at runs"`
	Rule    BacktestRule  `json:"rule"`
	Saved   *BacktestRule `json:"saved,omitempty" doc:"the rule as it is saved, when there is one and it differs"`
	Diff    *BacktestDiff `json:"diff,omitempty" doc:"from saved to rule"`
	Notes   []string      `json:"notes" doc:"what is not known of the past, and what was left out for that"`
}

// BacktestRule is what one Rule would have made of it.
type BacktestRule struct {
	Revision  string           `json:"revision"`
	Fired     int              `json:"fired" doc:"recoveries apart"`
	Recovered int              `json:"recovered"`
	Open      int              `json:"open" doc:"episodes that fired and are open at the end"`
	Stages    []BacktestStage  `json:"stages" doc:"in order: how many decisions each stage made"`
	Firings   []BacktestFiring `json:"firings" doc:"in order of time, at most 1,000"`
	Omitted   int              `json:"omitted,omitempty" doc:"firings that are not listed"`
	Decisions []Decision       `json:"decisions,omitempty" doc:"about the subject that was asked for, in order of time, the newest 500"`
}

// BacktestStage counts the decisions that ended at a Stage.
type BacktestStage struct {
	Stage   Stage           `json:"stage"`
	Verdict DecisionVerdict `json:"verdict"`
	Count   int             `json:"count"`
}

// BacktestFiring is one firing that would have been.
type BacktestFiring struct {
	At        time.Time  `json:"at"`
	Subject   Subject    `json:"subject"`
	Partition string     `json:"partition"`
	Recovery  bool       `json:"recovery,omitempty"`
	N         int        `json:"n" doc:"which of its episode"`
	Text      string     `json:"text"`
	Was       *time.Time `json:"was,omitempty" doc:"of one that moved: when it was before"`
}

// BacktestDiff compares the firings of two Rules. Two firings are the same when
// the same change opened their episode.
type BacktestDiff struct {
	Same    int              `json:"same"`
	Added   []BacktestFiring `json:"added"`
	Removed []BacktestFiring `json:"removed"`
	Moved   []BacktestFiring `json:"moved" doc:"the same, at another time"`
}

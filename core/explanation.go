package core

import "time"

// Explanation says how a Rule stands to one Subject now: what each stage says
// of the subject's newest change, which of them stands in the way, and when
// the rule could next fire.
type Explanation struct {
	Rule      string        `json:"rule"`
	Revision  string        `json:"revision,omitempty"`
	At        time.Time     `json:"at" doc:"the instant it is true of"`
	Subject   Subject       `json:"subject"`
	Health    Health        `json:"health"`
	Since     *time.Time    `json:"since,omitempty" doc:"in that health since"`
	Change    *Transition   `json:"change,omitempty" doc:"the change that the stages speak of; absent when none is stored"`
	Text      string        `json:"text" doc:"the answer, one sentence"`
	Blocked   Stage         `json:"blocked,omitempty" doc:"the first stage that stands in the way; empty when none does"`
	Need      string        `json:"need,omitempty" doc:"what must happen for it to fire"`
	NextAt    *time.Time    `json:"next_at,omitempty" doc:"the earliest it could fire if nothing changes"`
	Stages    []StageResult `json:"stages" doc:"in order, also those behind the one that stands in the way"`
	Gate      Gate          `json:"gate,omitzero" doc:"what it demands, with a preset written out"`
	Demands   string        `json:"demands,omitempty" doc:"the same in words"`
	Partition string        `json:"partition,omitempty"`
	Episode   string        `json:"episode,omitempty"`
	Fired     int           `json:"fired" doc:"firings of the episode that is open"`
	Problems  Problems      `json:"problems,omitempty" doc:"why the rule is quarantined"`
	Decisions []Decision    `json:"decisions" doc:"what it decided about the subject, newest first"`
}

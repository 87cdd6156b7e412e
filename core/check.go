package core

import "time"

// Check is a definition: what to collect, how often, what must hold, and how
// results move health. It is written once and assigned to any number of
// Systems.
type Check struct {
	ID       string            `json:"id" doc:"identity; letters, digits, '.', '_', '-'"`
	Name     string            `json:"name,omitempty" doc:"what people call it; the id when empty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Systems  Selector          `json:"systems" doc:"which systems it applies to"`
	Every    Duration          `json:"every,omitempty" doc:"interval between runs, at least 1s; or give cron"`
	Cron     string            `json:"cron,omitempty" doc:"cron expression of 5 or 6 fields, or @hourly, @daily, ...; or give every"`
	Zone     string            `json:"zone,omitempty" doc:"IANA time zone of cron and active; default UTC"`
	Active   []ActiveWindow    `json:"active,omitempty" doc:"when it runs; always when empty"`
	Timeout  Duration          `json:"timeout,omitempty" doc:"deadline of one run; default 10s, at most the interval's or 1h"`
	Collect  []Collect         `json:"collect" doc:"what to gather; the steps run in parallel"`
	Policy   Policy            `json:"policy,omitzero" doc:"how outcomes move health"`
	Disabled bool              `json:"disabled,omitempty" doc:"true: run on no system"`
	// Overrides by id of System. A zero field keeps what the Check says.
	Overrides map[string]Override `json:"overrides,omitempty" doc:"per system: disabled, schedule, policy, parameters"`
}

// DefaultTimeout is the deadline of a Run whose Check names none.
const DefaultTimeout = Duration(10 * time.Second)

// Label is the name that people read.
func (c Check) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}

// Override changes one Assignment of a Check.
type Override struct {
	Disabled bool                      `json:"disabled,omitempty"`
	Every    Duration                  `json:"every,omitempty"`
	Cron     string                    `json:"cron,omitempty"`
	Timeout  Duration                  `json:"timeout,omitempty"`
	Policy   *Policy                   `json:"policy,omitempty"`
	With     map[string]map[string]any `json:"with,omitempty" doc:"by id of collect step: parameters to replace"`
}

// Collect is one step of a Check: what gathers the Result, with which
// configuration, and what must hold of it.
type Collect struct {
	ID     string         `json:"id,omitempty" doc:"names the step in results; the collector's name when empty"`
	Use    string         `json:"use" doc:"a built-in collector (http, tcp), wasm:MODULE or script:SCRIPT; @VERSION, @NUMBER or @ALIAS after the name pins it"`
	With   map[string]any `json:"with,omitempty" doc:"its configuration; text may hold \\${expr} over system and check"`
	Assert []string       `json:"assert,omitempty" doc:"expr, bool; false makes the run fail"`
	Warn   []string       `json:"warn,omitempty" doc:"expr, bool; false makes the run warn"`
	// Sampling is for modules and scripts.
	Sampling Sampling `json:"sampling,omitempty" enum:",failures,all,none" doc:"of which runs the recording is kept for replay; default failures"`
}

// ActiveWindow is a part of the week, in the zone of the Check. From after To
// reaches over midnight into the next day.
type ActiveWindow struct {
	Days string `json:"days,omitempty" doc:"for example mon-fri or sat,sun; default every day"`
	From string `json:"from" doc:"HH:MM"`
	To   string `json:"to" doc:"HH:MM; 24:00 is the end of the day"`
}

// Assignment is one Check applied to one System: the unit that is scheduled
// and has a Standing. It is derived from its Check and System when either is
// saved; its Policy, Interval and so on already include the Override.
type Assignment struct {
	ID         string   `json:"id"`
	System     string   `json:"system"`
	Check      string   `json:"check"`
	Enabled    bool     `json:"enabled"`
	Interval   Duration `json:"interval" doc:"nominal time between runs; of a cron schedule its longest gap in the coming year"`
	StaleAfter Duration `json:"stale_after" doc:"without a recorded run for this long it is stale; 0: never"`
	Policy     Policy   `json:"policy"`
}

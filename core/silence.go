package core

import "time"

// Silence keeps rules quiet for a while about what it matches. Rules see it as
// silenced. It differs from a Maintenance in what it tells people, that this
// noise is known and not planned, and in that it can be about some rules or
// checks only.
type Silence struct {
	ID      string    `json:"id,omitempty" doc:"default one that is made up, when it is created alone"`
	Name    string    `json:"name,omitempty"`
	Systems Selector  `json:"systems,omitzero" doc:"default every system, when there is a match"`
	Match   string    `json:"match,omitempty" doc:"expr over system, check, group and rule: it is about what this is true of"`
	Starts  time.Time `json:"starts,omitzero" doc:"default now, when it is created alone"`
	Ends    time.Time `json:"ends"`
	Comment string    `json:"comment,omitempty"`
}

// On reports whether s is on at an instant.
func (s Silence) On(at time.Time) bool { return !at.Before(s.Starts) && at.Before(s.Ends) }

// Muted is what the match of a Silence sees: what a Rule would act on.
type Muted struct {
	System MutedSystem `expr:"system" doc:"the system that the rule would act on; of a group its id is empty"`
	Check  MutedCheck  `expr:"check" doc:"the check, of a rule that looks at assignments or runs; else its id is empty"`
	Group  MutedGroup  `expr:"group" doc:"the group, of a rule that looks at groups; else its id is empty"`
	Rule   MutedRule   `expr:"rule" doc:"the rule that would act"`
}

// MutedSystem is system in the match of a Silence.
type MutedSystem struct {
	ID     string            `expr:"id"`
	Name   string            `expr:"name" doc:"the id when it has no other"`
	Tags   map[string]string `expr:"tags" doc:"an absent tag is empty text"`
	Groups []string          `expr:"groups" doc:"groups that it is part of"`
}

// MutedCheck is check in the match of a Silence.
type MutedCheck struct {
	ID   string `expr:"id"`
	Name string `expr:"name" doc:"the id when it has no other"`
}

// MutedGroup is group in the match of a Silence.
type MutedGroup struct {
	ID string `expr:"id"`
}

// MutedRule is rule in the match of a Silence.
type MutedRule struct {
	ID     string            `expr:"id"`
	Name   string            `expr:"name" doc:"the id when it has no other"`
	Labels map[string]string `expr:"labels" doc:"an absent label is empty text"`
}

// Muted is r as the match of a Silence sees it.
func (r Rule) Muted() MutedRule {
	out := MutedRule{ID: r.ID, Name: r.Label(), Labels: r.Labels}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	return out
}

// SilencePreview is what a Silence would come to if it were on now.
type SilencePreview struct {
	Systems []string `json:"systems" doc:"ids of systems that it is about, at most 1,000"`
	Total   int      `json:"total" doc:"how many systems there are"`
	Rules   []string `json:"rules" doc:"rules that it holds back: they say silenced in unless"`
	Deaf    []string `json:"deaf" doc:"rules that it is about and that do not look at silenced: they go on"`
	Partly  bool     `json:"partly,omitempty" doc:"there is too much to look at: there may be more"`
}

package core

import (
	"time"
)

// System is a thing whose health people care about.
type System struct {
	ID        string            `json:"id" doc:"identity; letters, digits, '.', '_', '-'"`
	Name      string            `json:"name,omitempty" doc:"what people call it; the id when empty"`
	Tags      map[string]string `json:"tags,omitempty" doc:"facts to select and route by"`
	Groups    []string          `json:"groups,omitempty" doc:"groups whose health it is part of"`
	DependsOn []string          `json:"depends_on,omitempty" doc:"systems that this one cannot do without"`
	Rollup    Rollup            `json:"rollup,omitzero" doc:"how the health of its assignments becomes its own"`
	Note      string            `json:"note,omitempty" doc:"free text for people"`
}

// Label is the name that people read.
func (s System) Label() string {
	if s.Name != "" {
		return s.Name
	}
	return s.ID
}

// Rollup says how the health of parts becomes the health of the whole. Zero is
// the worst of all parts. With Quorum the whole is Unhealthy only when at least
// that many parts are Unhealthy or Stale, and Degraded when fewer are or any
// part is Degraded.
type Rollup struct {
	Quorum int `json:"quorum,omitempty" doc:"unhealthy when at least this many parts are; 0: worst of all"`
}

// Maintenance is a span of time in which people expect trouble on Systems.
// Rules see it as in_maintenance.
type Maintenance struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Systems Selector  `json:"systems"`
	Starts  time.Time `json:"starts"`
	Ends    time.Time `json:"ends"`
	Comment string    `json:"comment,omitempty"`
}

// Selector picks Systems: those listed, and those for which Match, an expr
// over system, is true. Both empty selects none.
type Selector struct {
	Names []string `json:"names,omitempty" doc:"ids of systems"`
	Match string   `json:"match,omitempty" doc:"expr over system, for example system.tags.env == \"prod\""`
}

// IsZero reports whether s selects nothing.
func (s Selector) IsZero() bool { return len(s.Names) == 0 && s.Match == "" }

package core

import (
	"hash/fnv"
	"time"
)

// Shards is how many parts the Systems are divided into, so that several Nodes
// can share them. It is part of what is stored: it never changes.
const Shards = 256

// ShardOf is the shard that a System belongs to, with all its Assignments.
func ShardOf(system string) int {
	h := fnv.New32a()
	h.Write([]byte(system)) //nolint:gosec // a hash takes everything
	return int(h.Sum32() % Shards)
}

// Node is one Tocsin process of those that share a database.
type Node struct {
	Name    string     `json:"name"`
	Here    bool       `json:"here" doc:"it is the one that answers"`
	Alive   bool       `json:"alive" doc:"its lease has not run out"`
	Started time.Time  `json:"started"`
	Expires time.Time  `json:"expires" doc:"when others may take over what it holds, unless it is heard of before"`
	Shards  []int      `json:"shards" doc:"the parts of all systems that it checks, of 256"`
	Rules   bool       `json:"rules" doc:"it decides what rules do"`
	Report  NodeReport `json:"report"`
}

// NodeReport is what a Node says of itself.
type NodeReport struct {
	Version  string  `json:"version,omitempty"`
	Tasks    int     `json:"tasks" doc:"assignments that it runs"`
	LateP99  float64 `json:"late_p99_ms" doc:"99th percentile of start after due, of the last one to two minutes"`
	Unstored int     `json:"unstored" doc:"runs that are done and wait for storage"`
	Dropped  int64   `json:"dropped" doc:"runs dropped since its start because storage was away too long"`
	Foreign  int64   `json:"foreign" doc:"runs not stored since its start because their check was deleted, or another node ran it, by then"`
	Clock    float64 `json:"clock_ms" doc:"how far its clock is behind that of the database"`
}

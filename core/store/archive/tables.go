package archive

import "strings"

// Tables lists what is archived, in an order in which rows can be written: what
// is referred to comes first. A test holds the list to the schema of each
// backend, so that a table cannot be forgotten.
func Tables() []Table {
	return []Table{
		table("systems", 1, "id text, body json"),
		table("assignments", 1, "key int, id text, system text, body json, removed bool"),
		table("standings", 1, "assignment int, newest int, newest_bad int, body bytes"),
		table("rollups", 2, "kind int, id text, body json"),
		table("sample_names", 1, "key int, name bytes"),
		table("runs", 1, "id int, assignment int, ended int, prev int, outcome int, prev_bad int, body bytes, detail bytes"),
		table("transitions", 1, "seq int, at int, kind int, scope text, part text, was int, now int, cause text, run int, body json"),
		table("marks", 2, "log text, id int, latest int"),
		table("buckets", 3, "tier int, assignment int, at int, body bytes"),
		seeded(table("tiers", 1, "tier int, floor int")),
		table("added_up", 1, "assignment int, low int, next int, top int, seq int, health int, since int, until int"),
		table("objects", 2, "kind text, id text, version int, body json, created int, updated int, by text"),
		seeded(table("counters", 1, "name text, value int")),
		table("module_files", 1, "digest text, file bytes"),
		table("releases", 1, "name text, kind text, last_number int, revision int, body json"),
		table("modules", 2, "name text, version text, digest text, number int, active bool, created int, body json"),
		table("release_versions", 2, "name text, version text"),
		table("kept_values", 3, "module text, assignment text, key bytes, value bytes"),
		table("recordings", 2, "run int, step text, assignment int, body bytes"),
		table("gate_states", 1, "key text, body bytes"),
		table("decisions", 1, "id int, rule text, scope text, verdict text, kept bool, decided int, body json"),
		table("firings", 1, "number int, id text, rule text, created int, status text, updated int, body json"),
		table("deliveries", 1, "id int, firing text, rule text, place text, kind text, key text, step json, status text, attempts int, "+
			"next int, due int, token text, watch text, woken bool, error text, output bytes, updated int, trace json"),
		table("sessions", 1, "hash bytes, kind text, user text, role text, created int, expires int, used int"),
		table("secrets", 1, "name text, sealed bytes, by text, updated int"),
	}
}

func table(name string, key int, columns string) Table {
	t := Table{Name: name, Key: key}
	for column := range strings.SplitSeq(columns, ", ") {
		name, kind, _ := strings.Cut(column, " ")
		t.Columns = append(t.Columns, Column{name, Kind(kind)})
	}
	return t
}

func seeded(t Table) Table {
	t.Seeded = true
	return t
}

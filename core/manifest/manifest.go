// Package manifest reads the YAML that people write into core values, and
// writes it. JSON is YAML too.
//
// Every mistake is reported with its line and column, as many as can be found
// at once: what is wrong, where, and how to mend it. Nothing is guessed: an
// unknown field, a value of the wrong type and a key that stands twice are
// errors. Aliases and merge keys (<<) are followed, within bounds, so that a
// small file cannot grow into a large one. The time that reading takes is
// bounded too, whatever is in the file: it has at most 4 MiB, each
// document at most 30,000 tokens and 64 levels.
package manifest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// APIVersion is what a manifest names as its apiVersion.
const APIVersion = "tocsin/v1"

const (
	maxSource   = 4 << 20 // bytes
	maxNodes    = 500_000 // after aliases are followed
	maxDepth    = 64
	maxProblems = 100 // that are reported; more help nobody
)

// Item is one object of a file, and where its parts stand.
type Item struct {
	Object any // *core.System, *core.Check, *core.Rule, *core.Maintenance, *core.Silence or *core.Channel
	Kind   string
	ID     string
	File   string
	Line   int
	places map[string]place
}

type place struct{ line, column int }

// Locate gives p the file, and the line and column of the part that its Path
// names, as well as they are known. The path of a part of the spec is returned
// as the author wrote it.
func (it Item) Locate(p core.Problem) core.Problem {
	p.File = it.File
	path := p.Path
	switch {
	case path == "id":
		p.Path = "metadata.name"
	case path == "name":
		p.Path = "metadata.title"
	case path == "labels", strings.HasPrefix(path, "labels."):
		p.Path = "metadata." + path
	case path == "metadata", strings.HasPrefix(path, "metadata."), path == "spec", strings.HasPrefix(path, "spec."):
	case path != "":
		p.Path = "spec." + path
	}
	p.Path = it.asWritten(p.Path)
	for at := p.Path; ; {
		if found, ok := it.places[at]; ok {
			p.Line, p.Column = found.line, found.column
			return p
		}
		i := max(strings.LastIndexByte(at, '.'), strings.LastIndexByte(at, '['))
		if i < 0 {
			p.Line, p.Column = it.Line, 1
			return p
		}
		at = at[:i]
	}
}

// asWritten is the path of a part of a selector in the form that the author
// chose: a list of names, or a mapping.
func (it Item) asWritten(path string) string {
	const short, long = "spec.systems", "spec.systems.names"
	_, mapped := it.places[long]
	if rest, ok := strings.CutPrefix(path, long); ok && !mapped {
		return short + rest
	}
	if rest, ok := strings.CutPrefix(path, short+"["); ok && mapped {
		return long + "[" + rest
	}
	return path
}

// header is what every manifest begins with.
type header struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
}

type metadata struct {
	Name   string            `json:"name"`
	Title  string            `json:"title"`
	Labels map[string]string `json:"labels"`
}

// kinds makes an empty object of each kind.
func kinds() map[string]func() any {
	return map[string]func() any{
		"System":      func() any { return new(core.System) },
		"Check":       func() any { return new(core.Check) },
		"Rule":        func() any { return new(core.Rule) },
		"Maintenance": func() any { return new(core.Maintenance) },
		"Silence":     func() any { return new(core.Silence) },
		"Channel":     func() any { return new(core.Channel) },
	}
}

// identity lists the fields of core values that stand in the metadata and not
// in the spec.
func identity() []string { return []string{"id", "name", "labels"} }

// Decode reads all documents of src; file names it in problems. It returns
// what it could read and everything that is wrong.
func Decode(file string, src []byte) ([]Item, core.Problems) {
	docs, problems := parse(file, src)
	var items []Item
	first := map[string]int{}
	for _, doc := range docs {
		it, ps := decodeItem(file, doc)
		problems = append(problems, ps...)
		if it.Object == nil {
			continue
		}
		key := it.Kind + " " + it.ID
		if line, twice := first[key]; twice {
			problems = append(problems, core.Problem{
				File: file, Line: it.Line, Column: 1, Code: "duplicate",
				Message: fmt.Sprintf("%s %q stands twice, first on line %d", it.Kind, it.ID, line), Fix: "rename or remove one",
			})
			continue
		}
		first[key] = it.Line
		items = append(items, it)
	}
	if len(problems) == 0 && len(items) == 0 {
		problems = append(problems, core.Problem{
			File: file, Code: "empty", Message: "there is no document in it",
			Fix: "begin with apiVersion: " + APIVersion + " and kind: System, Check or Rule",
		})
	}
	slices.SortStableFunc(problems, func(a, b core.Problem) int { return cmp.Compare(a.Line, b.Line) })
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], core.Problem{File: file, Code: "more", Message: fmt.Sprintf("and %d more", more)})
	}
	return items, problems
}

func decodeItem(file string, doc *node) (Item, core.Problems) {
	it := Item{File: file, Line: doc.line, places: map[string]place{}}
	d := &decoder{file: file, places: it.places}
	if doc.kind != mapKind {
		d.wrong(doc, "", "type", "a document must be a mapping with apiVersion, kind, metadata and spec, not "+doc.describe(), "")
		return it, d.problems
	}
	var head header
	spec := d.head(doc, &head)
	if len(d.problems) > 0 {
		return it, d.problems
	}
	it.Kind, it.ID = head.Kind, head.Metadata.Name
	if err := core.CheckName(it.ID); err != nil {
		at := doc.child("metadata")
		if name := at.child("name"); name != nil {
			at = name
		}
		fix := ""
		if it.ID == "" {
			fix = "write name: and letters, digits, '.', '_' or '-'"
		}
		d.wrong(at, "metadata.name", "name", err.Error(), fix)
	}
	object := kinds()[head.Kind]()
	v := reflect.ValueOf(object).Elem()
	if spec != nil {
		d.structure(spec, "spec", v, identity())
	}
	v.FieldByName("ID").SetString(head.Metadata.Name)
	v.FieldByName("Name").SetString(head.Metadata.Title)
	if len(head.Metadata.Labels) > 0 {
		labels := v.FieldByName("Labels")
		if !labels.IsValid() {
			d.wrong(doc.child("metadata").child("labels"), "metadata.labels", "field", "a "+head.Kind+" has no labels", "a System has tags, in its spec")
			return it, d.problems
		}
		labels.Set(reflect.ValueOf(head.Metadata.Labels))
	}
	it.Object = object
	return it, d.problems
}

// head reads everything but the spec, which it returns.
func (d *decoder) head(doc *node, head *header) (spec *node) {
	for i, key := range doc.keys {
		value := doc.values[i]
		switch key.text {
		case "apiVersion":
			d.value(value, key.text, reflect.ValueOf(&head.APIVersion).Elem())
			if value.text != APIVersion {
				d.wrong(value, key.text, "version", fmt.Sprintf("%q is not a version that is known here", value.text), "write "+APIVersion)
			}
		case "kind":
			d.value(value, key.text, reflect.ValueOf(&head.Kind).Elem())
			if _, ok := kinds()[value.text]; !ok {
				names := []string{"System", "Check", "Rule", "Maintenance", "Silence", "Channel"}
				d.wrong(value, key.text, "kind", fmt.Sprintf("%q is not a kind; there are %s", value.text, strings.Join(names, ", ")), meant(value.text, names))
			}
		case "metadata":
			d.value(value, key.text, reflect.ValueOf(&head.Metadata).Elem())
		case "spec":
			spec = value
			d.places["spec"] = place{key.line, key.column}
			if value.kind != mapKind && value.kind != nullKind {
				d.wrong(value, "spec", "type", "spec must be a mapping, not "+value.describe(), "")
			}
			if value.kind == nullKind {
				spec = nil
			}
		default:
			known := []string{"apiVersion", "kind", "metadata", "spec"}
			d.wrong(key, key.text, "field", fmt.Sprintf("unknown field %q; a document has %s", key.text, strings.Join(known, ", ")), meant(key.text, known))
		}
	}
	for _, must := range []string{"apiVersion", "kind", "metadata"} {
		if doc.child(must) == nil {
			d.wrong(doc, must, "missing", must+" is missing", map[string]string{"apiVersion": "write apiVersion: " + APIVersion, "metadata": "write metadata: {name: ...}"}[must])
		}
	}
	return spec
}

// meant suggests the nearest of known, as a Fix; empty when none is near.
func meant(word string, known []string) string {
	best, least := "", 1+len(word)/3
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k), least); n <= least && (best == "" || n < least) {
			best, least = k, n
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is the number of edits (insert, delete, replace, swap of
// neighbours) between a and b; more than limit is returned as limit + 1.
// Optimal string alignment, see Damerau 1964.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) > limit || len(a) > core.MaxName {
		return limit + 1
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// reserved are the fields of a step in a manifest that are not its action.
func reserved() []string {
	return append([]string{"id", "if", "else", "timeout", "retry", "continue_on_error"}, flow()...)
}

// flow are the fields that make a step one of flow.
func flow() []string {
	return []string{"then", "choose", "parallel", "repeat", "delay", "wait", "let", "stop"}
}

// step reads {id, if, ..., ACTION: {...}}, or a step of flow.
func (d *decoder) step(n *node, path string, v reflect.Value) {
	if n.kind != mapKind {
		d.wrong(n, path, "type", "a step must be a mapping such as webhook: {url: ...}, not "+n.describe(), "")
		return
	}
	rest := &node{kind: mapKind, line: n.line, column: n.column}
	var actions, flows []int
	for i, key := range n.keys {
		if slices.Contains(flow(), key.text) {
			flows = append(flows, i)
		}
		if slices.Contains(reserved(), key.text) {
			rest.add(key, n.values[i])
			continue
		}
		actions = append(actions, i)
	}
	d.structure(rest, path, v, []string{"action", "with"})
	if both := append(flows, actions...); len(flows) > 0 && len(both) > 1 {
		d.wrong(n.keys[both[1]], path, "step", fmt.Sprintf("a step does one thing, this one has %q and %q", n.keys[both[0]].text, n.keys[both[1]].text), "make two steps of it")
		return
	}
	switch len(actions) {
	case 0:
		if len(flows) == 0 {
			d.wrong(n, path, "step", "a step must say what to do", "for example log: {message: ...} or webhook: {url: ...}, or then: and steps beside if")
		}
	case 1:
		key, with := n.keys[actions[0]], n.values[actions[0]]
		d.places[path+".action"] = place{key.line, key.column}
		v.FieldByName("Action").SetString(key.text)
		if with.kind != nullKind && (with.kind != mapKind || len(with.keys) > 0) {
			d.value(with, path+".with", v.FieldByName("With"))
		}
	default:
		d.wrong(n.keys[actions[1]], path, "step", fmt.Sprintf("a step does one thing, this one does %q and %q", n.keys[actions[0]].text, n.keys[actions[1]].text),
			"make two steps, or see whether one is a field spelled wrongly: "+strings.Join(reserved(), ", "))
	}
}

// trigger reads "health.changed" or {event, subject, when}.
func (d *decoder) trigger(n *node, path string, v reflect.Value) {
	if n.kind == textKind {
		v.FieldByName("Event").SetString(n.text)
		d.places[path+".event"] = place{n.line, n.column}
		return
	}
	d.structure(n, path, v, nil)
}

// selector reads a list of names or {names, match}.
func (d *decoder) selector(n *node, path string, v reflect.Value) {
	if n.kind == listKind {
		d.value(n, path, v.FieldByName("Names"))
		return
	}
	if n.kind != mapKind {
		d.wrong(n, path, "type", "must be a list of names or {match: ...}, not "+n.describe(), "")
		return
	}
	d.structure(n, path, v, nil)
}

package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Names of what is recorded besides calls.
const (
	recordedClock    = "clock"
	recordedDeadline = "deadline"
)

// tape is what a run depended on: written while it runs, or read in its place.
// A nil tape does nothing.
type tape struct {
	calls   []core.RecordedCall
	bytes   int
	cut     bool
	replay  bool
	loose   bool    // what was recorded was written by a person, see meant
	clocks  []int64 // to be read
	last    int64
	end     int64  // looks at the clock until the time was over; 0: it was not
	code    string // of what ended it from outside
	taken   int    // calls read
	differs string // where the guest left what is recorded
}

// lineBytes is what one entry costs besides its bytes.
const lineBytes = 48

func (t *tape) add(c core.RecordedCall) {
	if t == nil || t.cut {
		return
	}
	t.bytes += len(c.Input) + len(c.Answer) + lineBytes
	if t.bytes > maxRecording {
		t.cut, t.calls = true, nil
		return
	}
	t.calls = append(t.calls, c)
}

// ended notes that the time of the run was over.
func (t *tape) ended(checks int64) {
	if t != nil && !t.replay {
		t.add(core.RecordedCall{Name: recordedDeadline, Value: checks})
	}
}

// late ends a replay where the time of the recorded run was over.
func (t *tape) late(checks int64) {
	if t.end == 0 || checks < t.end {
		return
	}
	if t.code == canceled {
		halt(canceled, canceledText)
	}
	halt(limitTime, lateText)
}

func (r *run) replaying() bool { return r.tape != nil && r.tape.replay }

// clockBase is when the run began, for the guest.
func (r *run) clockBase() time.Time {
	switch {
	case r.frozen:
		return r.started
	case !r.open:
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	case r.replaying():
		return r.base
	}
	return r.started
}

// elapsed is the time since the run began, for the guest.
func (r *run) elapsed() time.Duration {
	t := r.tape
	if r.frozen {
		return 0
	}
	if !r.open {
		return r.slept
	}
	if r.replaying() {
		if len(t.clocks) > 0 {
			t.last, t.clocks = t.clocks[0], t.clocks[1:]
		}
		return time.Duration(t.last)
	}
	d := time.Since(r.started)
	t.add(core.RecordedCall{Name: recordedClock, Value: int64(d)})
	return d
}

// answered is the answer of a call: asked for and recorded, or read from what
// was recorded.
func (r *run) answered(name string, q []byte, ask func() []byte) []byte {
	if r.replaying() && r.open {
		return r.tape.next(name, q)
	}
	if r.tape == nil || !r.open {
		return ask()
	}
	input := bytes.Clone(q) // the memory of the guest is not ours to keep
	answer := ask()
	r.tape.add(core.RecordedCall{Name: name, Input: input, Answer: answer})
	return answer
}

// next is the answer that was recorded for a call. It ends the run when the
// guest asks something else.
func (t *tape) next(name string, q []byte) []byte {
	for t.taken < len(t.calls) && (t.calls[t.taken].Name == recordedClock || t.calls[t.taken].Name == recordedDeadline) {
		t.taken++
	}
	if t.taken == len(t.calls) {
		t.differs = fmt.Sprintf("it asked %s, and no more calls were recorded", asked(name, q))
		halt("diverged", "%s", t.differs)
	}
	c := t.calls[t.taken]
	if c.Name != name || !bytes.Equal(c.Input, q) && (!t.loose || !meant(c.Input, q)) {
		t.differs = fmt.Sprintf("it asked %s, recorded was %s", asked(name, q), asked(c.Name, c.Input))
		halt("diverged", "%s", t.differs)
	}
	t.taken++
	return c.Answer
}

// asked is a call for people.
func asked(name string, q []byte) string {
	var fields struct {
		Method  string `json:"method"`
		URL     string `json:"url"`
		Op      string `json:"op"`
		Address string `json:"address"`
		Data    string `json:"data"`
		Host    string `json:"host"`
		Type    string `json:"type"`
		Name    string `json:"name"`
		Key     string `json:"key"`
	}
	if json.Unmarshal(q, &fields) != nil {
		return name + " with what is no document"
	}
	words := []string{name}
	if name == "http" && fields.Method == "" {
		fields.Method = "GET"
	}
	for _, w := range []string{fields.Method, fields.URL, fields.Op, fields.Address, fields.Data, fields.Host, fields.Type, fields.Name, fields.Key} {
		if w != "" {
			words = append(words, w)
		}
	}
	return clean(strings.Join(words, " "), 300, false)
}

// recording is what r depended on and what came of it. It shares the bytes.
func (r *run) recording(m *Module, export string, result *core.Result, end string) *core.Recording {
	if r.tape == nil || r.tape.replay || r.question == nil {
		return nil
	}
	rec := &core.Recording{
		Format: 1, Module: m.facts.Name, Version: m.facts.Version, Digest: m.facts.Digest, Export: export, Grant: m.facts.Grant,
		Request: r.question, Started: r.started, Seed: r.seed, Calls: r.tape.calls, Outcome: result.Outcome, Output: r.output, End: end,
		Fuel: r.granted + r.extra, Cut: r.tape.cut,
	}
	if r.engine != nil {
		rec.Engine = engineDigest()
	}
	if len(rec.Request)+len(rec.Output)+r.tape.bytes > maxRecording {
		rec.Cut, rec.Calls, rec.Request, rec.Output = true, nil, nil, nil
	}
	if len(r.told) > 0 {
		r.mask(rec)
	}
	return rec
}

// mask takes the values that the guest was told out of a recording.
func (r *run) mask(rec *core.Recording) {
	for _, value := range r.told {
		forms := []string{value}
		if text, err := json.Marshal(value); err == nil {
			forms = append(forms, string(text[1:len(text)-1]))
		}
		for _, form := range forms {
			if len(form) < minHidden {
				continue
			}
			swap := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(form), []byte(hidden)) }
			rec.Output = swap(rec.Output)
			for i := range rec.Calls {
				rec.Calls[i].Input, rec.Calls[i].Answer = swap(rec.Calls[i].Input), swap(rec.Calls[i].Answer)
			}
		}
	}
}

// ReplayReport compares a replay with what was recorded.
type ReplayReport struct {
	Digest   string `json:"digest" doc:"of the file that ran"`
	Original bool   `json:"original" doc:"it is the file that was recorded, and of a script its interpreter too"`
	Same     bool   `json:"same" doc:"it wrote the same, ended the same way and computed as much"`
	Output   bool   `json:"same_output"`
	Ending   bool   `json:"same_end"`
	Fuel     int64  `json:"fuel"`
	Recorded int64  `json:"recorded_fuel"`
	Calls    int    `json:"calls" doc:"answers of the host that were used"`
	Unused   int    `json:"unused" doc:"answers that were recorded and not asked for"`
	Diverged string `json:"diverged,omitempty" doc:"the first call that was not the recorded one"`
	End      string `json:"end,omitempty" doc:"code of what ended it early"`
}

// Replay executes a recorded run again. It reaches nothing and takes no time
// but that of computing: every answer of the host, the clock and the random
// numbers are those that were recorded, and a run whose time was over ends at
// the same instruction. The file may be another build of the module: the
// report then names the first call in which it differs. The error says why
// there was no replay.
func (h *Host) Replay(ctx context.Context, file []byte, rec core.Recording) (core.Result, ReplayReport, error) {
	switch {
	case rec.Cut:
		return core.Result{}, ReplayReport{}, fmt.Errorf("replay a run of %s: the recording was larger than %s and was not kept whole", rec.Module, size(maxRecording))
	case rec.Format != 1:
		return core.Result{}, ReplayReport{}, fmt.Errorf("replay a run of %s: the recording has format %d; this host reads format 1", rec.Module, rec.Format)
	case rec.Export != abi.Collect:
		return core.Result{}, ReplayReport{}, fmt.Errorf("replay a run of %s: %s was called; only collectors can be replayed", rec.Module, rec.Export)
	}
	manifest, err := h.Inspect(ctx, file)
	if err != nil {
		return core.Result{}, ReplayReport{}, fmt.Errorf("replay a run of %s: %w", rec.Module, err)
	}
	// What is granted was decided when the run was recorded.
	manifest.Wants = rec.Grant
	m, err := h.Load(ctx, core.Module{Name: rec.Module, Version: rec.Version, Digest: digest(file), Manifest: manifest, Grant: rec.Grant}, file)
	if err != nil {
		return core.Result{}, ReplayReport{}, fmt.Errorf("replay: %w", err)
	}
	defer m.Close(ctx) //nolint:errcheck // closing does not fail
	result, report := m.replay(ctx, rec)
	report.Digest = m.facts.Digest
	report.Original = report.Digest == rec.Digest && (rec.Engine == "" || rec.Engine == engineDigest())
	return result, report, nil
}

func (m *Module) replay(ctx context.Context, rec core.Recording) (core.Result, ReplayReport) {
	t := &tape{calls: rec.Calls, replay: true, code: rec.End}
	for _, c := range rec.Calls {
		switch c.Name {
		case recordedClock:
			t.clocks = append(t.clocks, c.Value)
		case recordedDeadline:
			t.end = c.Value
		}
	}
	r := m.newRun(core.RunContext{})
	r.tape, r.base, r.seed, r.random, r.input, r.question = t, rec.Started, rec.Seed, seeded(rec.Seed), rec.Request, rec.Request
	err := m.invoke(ctx, r, abi.Collect, rec.Seed, abi.Request{})
	result, end := core.Result{}, ""
	if err == nil {
		result, err = readResponse(r.output, m.facts.Manifest.Samples)
	}
	if err != nil {
		result, end = m.failed(err), codeOf(err)
	}
	result.Usage, result.Logs = r.usage(), r.logs
	report := ReplayReport{
		Output: bytes.Equal(r.output, rec.Output), Ending: end == rec.End && result.Outcome == rec.Outcome,
		Fuel: r.granted + r.extra, Recorded: rec.Fuel, Diverged: t.differs, End: end,
	}
	for i, c := range rec.Calls {
		if c.Name == recordedClock || c.Name == recordedDeadline {
			continue
		}
		if i < t.taken {
			report.Calls++
		} else {
			report.Unused++
		}
	}
	report.Same = report.Output && report.Ending && report.Fuel == rec.Fuel && report.Diverged == "" && report.Unused == 0
	return result, report
}

func codeOf(err error) string {
	if s, ok := errors.AsType[*stop](err); ok {
		return s.code
	}
	return "module"
}

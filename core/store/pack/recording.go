package pack

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/tocsin-io/tocsin/core"
)

// maxRecording is the most that a recording takes compressed; a larger one is
// not kept.
const maxRecording = 1 << 20

// compressed is the first byte of a recording: deflated JSON.
const compressed = 1

// Recorded is a recording that waits to be written with its run.
type Recorded struct {
	Run  *core.Run
	Step string
	Body []byte
}

// pressers compress recordings; each holds some 100 KiB.
var pressers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a cache
	w, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // the level is right
	return w
}}

// Recordings packs the recordings of runs, before anybody waits for the
// writer, and tells the steps that are kept.
func Recordings(runs []*core.Run) ([]Recorded, error) {
	var out []Recorded
	for _, run := range runs {
		for i := range run.Steps {
			step := &run.Steps[i]
			step.Replay = false
			if step.Recording == nil {
				continue
			}
			body, err := press(step.Recording)
			if err != nil {
				return nil, fmt.Errorf("recording of %s: %w", run.Assignment, err)
			}
			if len(body) > maxRecording {
				continue
			}
			step.Replay = true
			out = append(out, Recorded{run, step.ID, body})
		}
	}
	return out, nil
}

func press(rec *core.Recording) ([]byte, error) {
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteByte(compressed)
	w := pressers.Get().(*flate.Writer) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer pressers.Put(w)
	w.Reset(&out)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// UnpackRecording reads the body of a [Recorded].
func UnpackRecording(body []byte, rec *core.Recording) error {
	if len(body) == 0 || body[0] != compressed {
		return ErrDamaged
	}
	r := flate.NewReader(bytes.NewReader(body[1:]))
	defer r.Close()
	return json.NewDecoder(r).Decode(rec)
}

// Steps is the detail of a run as it is stored, nil when none is kept: of runs
// that passed only where a recording is.
func Steps(run *core.Run) ([]byte, error) {
	keep := run.Outcome != core.Pass
	for i := range run.Steps {
		keep = keep || run.Steps[i].Replay
	}
	if len(run.Steps) == 0 || !keep {
		return nil, nil
	}
	steps, err := json.Marshal(run.Steps)
	if err != nil {
		return nil, fmt.Errorf("write its steps: %w", err)
	}
	return steps, nil
}

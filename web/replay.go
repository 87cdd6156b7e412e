package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

type recordingInput struct {
	ID   int64  `path:"id" minimum:"1"`
	Step string `path:"step" maxLength:"128"`
}

func (s *server) recording(ctx context.Context, in *recordingInput) (*body[core.Recording], error) {
	rec, err := s.Recordings.Recording(ctx, in.ID, in.Step)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noRecording(in.ID, in.Step)
	}
	if err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	return answer(rec), nil
}

func noRecording(run int64, step string) error {
	return failure(http.StatusNotFound, fmt.Sprintf("there is no recording of step %q of run %d: the newest of an assignment are kept, of the runs that sampling of the check names", step, run))
}

type replayInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body wire.ReplayRequest
}

func (s *server) replayRun(ctx context.Context, in *replayInput) (*body[wire.ReplayReport], error) {
	step, err := s.recordedStep(ctx, in.ID, in.Body.Step)
	if err != nil {
		return nil, err
	}
	rec, err := s.recording(ctx, &recordingInput{in.ID, step})
	if err != nil {
		return nil, err
	}
	now, err := s.modulesNow(ctx)
	if err != nil {
		return nil, err
	}
	m, err := now.find(rec.Body.Module, cmp.Or(in.Body.Version, rec.Body.Version))
	if err != nil {
		return nil, err
	}
	file, err := s.Stored.ModuleFile(ctx, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("read the file of %s %s: %w", m.Name, m.Version, err)
	}
	report, err := s.Modules.Replay(ctx, m, file, rec.Body)
	if err != nil {
		return nil, problemsOf(err, "replay")
	}
	report.Step = step
	return answer(report), nil
}

// recordedStep is the step of a run that is to be replayed: the one that is
// named, or the only one that has a recording.
func (s *server) recordedStep(ctx context.Context, id int64, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	run, err := s.History.Run(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", failure(http.StatusNotFound, fmt.Sprintf("there is no run %d", id))
	}
	if err != nil {
		return "", fmt.Errorf("read run %d: %w", id, err)
	}
	var recorded []string
	for _, step := range run.Steps {
		if step.Replay {
			recorded = append(recorded, step.ID)
		}
	}
	switch len(recorded) {
	case 0:
		return "", failure(http.StatusNotFound, fmt.Sprintf("run %d has no recording: the newest of an assignment are kept, of the runs that sampling of the check names", id))
	case 1:
		return recorded[0], nil
	}
	return "", wrong(core.Problems{{Path: "step", Code: "step", Message: fmt.Sprintf("run %d has recordings of %s", id, strings.Join(recorded, ", ")), Fix: "name one of them as step"}})
}

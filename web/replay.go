package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
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

package action

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tocsin-io/tocsin/core"
)

// Log writes a line to the log of the server. It takes message, and level
// (debug, info, warn, error; default info). Its output is {message}.
type Log struct{ log *slog.Logger }

var _ Action = (*Log)(nil)

// NewLog makes the action log.
func NewLog(log *slog.Logger) *Log { return &Log{log: log} }

// Check implements [Action].
func (*Log) Check(with map[string]any) core.Problems {
	out := fields(with, []string{"level", "message"}, []string{"message"})
	if level, ok := with["level"]; ok {
		if _, err := parseLevel(level); err != nil {
			out = append(out, core.Problem{Path: "level", Code: "level", Message: err.Error(), Fix: "write debug, info, warn or error"})
		}
	}
	return out
}

// Outputs implements [Action].
func (*Log) Outputs() []string { return []string{"message"} }

// Channel implements [Action].
func (*Log) Channel(map[string]any) string { return "" }

// Do implements [Action].
func (l *Log) Do(ctx context.Context, call Call) (map[string]any, error) {
	level, err := parseLevel(call.With["level"])
	if err != nil {
		return nil, &RefusedError{Reason: err.Error()}
	}
	message := fmt.Sprint(call.With["message"])
	l.log.LogAttrs(ctx, level, "rule", slog.String("rule", call.Rule), slog.String("firing", call.Firing), slog.String("message", message))
	return map[string]any{"message": message}, nil
}

func parseLevel(v any) (slog.Level, error) {
	switch v {
	case nil, "", "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not a level", fmt.Sprint(v))
}

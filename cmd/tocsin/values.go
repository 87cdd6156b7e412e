package main

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/wasm"
)

// values is what modules keep: in the store, and in memory for test runs, whose
// assignment does not exist. It is safe for concurrent use.
type values struct {
	kept interface {
		Value(ctx context.Context, scope, key string) (string, bool, error)
		SetValue(ctx context.Context, scope, key string, value *string, most int64) (int64, bool, error)
	}

	mu    sync.Mutex
	tests map[string]map[string]string // by scope and key; guarded by mu
}

var _ wasm.Values = (*values)(nil)

// maxTests is how many scopes of test runs are remembered; then all are
// forgotten.
const maxTests = 100

// Value implements wasm.Values.
func (v *values) Value(ctx context.Context, scope, key string) (string, bool, error) {
	v.mu.Lock()
	value, found := v.tests[scope][key]
	v.mu.Unlock()
	if found {
		return value, true, nil
	}
	return v.kept.Value(ctx, scope, key)
}

// SetValue implements wasm.Values.
func (v *values) SetValue(ctx context.Context, scope, key string, value *string, most int64) (used int64, ok bool, err error) {
	used, ok, err = v.kept.SetValue(ctx, scope, key, value, most)
	if !errors.Is(err, store.ErrNotFound) {
		return used, ok, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	next := maps.Clone(v.tests[scope])
	if next == nil {
		next = map[string]string{}
	}
	delete(next, key)
	if value != nil {
		next[key] = *value
	}
	used = sizeOf(next)
	if value != nil && used > most {
		return sizeOf(v.tests[scope]), false, nil
	}
	if v.tests == nil || len(v.tests) >= maxTests {
		v.tests = map[string]map[string]string{}
	}
	v.tests[scope] = next
	return used, true, nil
}

func sizeOf(m map[string]string) (n int64) {
	for key, value := range m {
		n += int64(len(key) + len(value))
	}
	return n
}

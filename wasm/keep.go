package wasm

import (
	"context"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// scopeOf names whose values a run of a module keeps, empty: nobody's.
func scopeOf(m core.Module, rc core.RunContext) string {
	switch {
	case m.Grant.KV == core.KVModule:
		return m.Name
	case m.Grant.KV == core.KVAssignment && rc.System.ID != "" && rc.Check.ID != "":
		return m.Name + "/" + core.AssignmentID(rc.System.ID, rc.Check.ID)
	}
	return "" // an action belongs to no assignment
}

// trial is what a test run keeps: it sees what is kept, and changes nothing.
type trial struct {
	under Values // nil: nothing is kept
	set   map[string]*string
}

// Value implements [Values].
func (t *trial) Value(ctx context.Context, scope, key string) (string, bool, error) {
	if value, ok := t.set[key]; ok {
		if value == nil {
			return "", false, nil
		}
		return *value, true, nil
	}
	if t.under == nil {
		return "", false, nil
	}
	return t.under.Value(ctx, scope, key)
}

// SetValue implements [Values]. It counts what the test run set.
func (t *trial) SetValue(_ context.Context, _, key string, value *string, most int64) (used int64, ok bool, err error) {
	for k, v := range t.set {
		if k != key && v != nil {
			used += int64(len(k) + len(*v))
		}
	}
	if value != nil {
		if used += int64(len(key) + len(*value)); used > most {
			return used, false, nil
		}
	}
	t.set[key] = value
	return used, true, nil
}

func (r *run) kvGet(ctx context.Context, document []byte) any {
	return r.keep(ctx, "kv_get", document, func(ctx context.Context, q *abi.KVRequest) (*abi.KVResponse, *abi.CallError) {
		value, found, err := r.values.Value(ctx, r.scope, q.Key)
		if err != nil {
			return nil, r.storage(ctx, err)
		}
		return &abi.KVResponse{Found: found, Value: value}, nil
	})
}

func (r *run) kvSet(ctx context.Context, document []byte) any {
	return r.keep(ctx, "kv_set", document, func(ctx context.Context, q *abi.KVRequest) (*abi.KVResponse, *abi.CallError) {
		value := &q.Value
		switch {
		case q.Delete && q.Value != "":
			return nil, problem(abi.CodeInvalid, "value and delete exclude each other")
		case q.Delete:
			value = nil
		case len(q.Value) > maxKept:
			return nil, problem(abi.CodeTooLarge, "the value has %d bytes, the limit is %s", len(q.Value), size(maxKept))
		case !utf8.ValidString(q.Value):
			return nil, problem(abi.CodeInvalid, "the value is not UTF-8")
		}
		used, ok, err := r.values.SetValue(ctx, r.scope, q.Key, value, r.limits.KVBytes)
		if err != nil {
			return nil, r.storage(ctx, err)
		}
		r.kvUsed = used
		if !ok {
			return nil, problem(abi.CodeQuota, "its kept values would be over the limit of %s", size(r.limits.KVBytes))
		}
		return &abi.KVResponse{Found: value != nil}, nil
	})
}

// keep holds a call about kept values to the grant and its quota.
func (r *run) keep(ctx context.Context, name string, document []byte, do func(context.Context, *abi.KVRequest) (*abi.KVResponse, *abi.CallError)) any {
	began := time.Now()
	var q abi.KVRequest
	why := decode(document, &q)
	switch {
	case why != nil:
	case r.rights.kv == "" || r.scope == "" || !r.open:
		why = problem(abi.CodeDenied, "kept values are not granted; granted is %s", r.has(listed(nil)))
	case q.Key == "" || len(q.Key) > maxKey || !utf8.ValidString(q.Key):
		why = problem(abi.CodeInvalid, "a key is text of 1 to %d bytes", maxKey)
	case r.kvCalls >= core.MaxKVCalls:
		why = problem(abi.CodeQuota, "the limit of %d calls about kept values is used up", core.MaxKVCalls)
	case r.values == nil:
		why = problem(abi.CodeStorage, "nothing keeps values here")
	}
	var answer *abi.KVResponse
	if why == nil {
		r.kvCalls++
		answer, why = do(ctx, &q)
	}
	if why != nil {
		r.note(name, q.Key+": "+why.Error(), began, why.Code != abi.CodeDenied, "")
		return &abi.KVResponse{Error: why}
	}
	r.note(name, fmt.Sprintf("%s: %d bytes", q.Key, len(q.Value)+len(answer.Value)), began, true, "kv "+r.rights.kv)
	return answer
}

// storage explains a fault of ours without what it says of this machine.
func (r *run) storage(ctx context.Context, err error) *abi.CallError {
	if ctx.Err() != nil {
		return problem(abi.CodeTimeout, "no answer in time")
	}
	r.host.o.Log.ErrorContext(ctx, "keep a value of a module", slog.Any("err", err))
	return problem(abi.CodeStorage, "the host could not store or read it")
}

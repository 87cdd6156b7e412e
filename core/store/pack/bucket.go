package pack

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core/series"
)

// Bucket appends b, packed, to out. Samples whose names have no number are left
// out, as are those of runs of which there are too many.
func Bucket(out []byte, b *series.Bucket, words *Words) []byte {
	var outcomes, healths byte
	for i, n := range b.Runs {
		if n != 0 {
			outcomes |= 1 << i
		}
	}
	for i, d := range b.Health {
		if d != 0 {
			healths |= 1 << i
		}
	}
	out = append(out, packed, outcomes, healths)
	for _, n := range b.Runs {
		if n != 0 {
			out = binary.AppendVarint(out, n)
		}
	}
	for _, d := range b.Health {
		if d != 0 {
			out = binary.AppendVarint(out, int64(d))
		}
	}
	out = appendValues(out, &b.Latency)
	type named struct {
		key    uint64
		values *series.Values
	}
	samples := make([]named, 0, len(b.Samples))
	for name, v := range b.Samples {
		if key, ok := words.number(name); ok && v.Count > 0 {
			samples = append(samples, named{key, v})
		}
	}
	slices.SortFunc(samples, func(a, b named) int { return int(a.key) - int(b.key) }) //nolint:gosec // at most MaxWords
	out = binary.AppendUvarint(out, uint64(len(samples)))
	for _, s := range samples {
		out = appendValues(binary.AppendUvarint(out, s.key), s.values)
	}
	return out
}

// appendValues writes as little as tells them: when all are equal one of them.
func appendValues(out []byte, v *series.Values) []byte {
	out = binary.AppendUvarint(out, uint64(v.Count)) //nolint:gosec // not negative
	if v.Count == 0 {
		return out
	}
	sketch := v.Sketch()
	out = binary.AppendUvarint(out, uint64(len(sketch)))
	out = appendSample(out, v.Min)
	if len(sketch) > 0 {
		out = appendSample(appendSample(out, v.Max), v.Sum)
		out = append(out, sketch...)
	}
	return out
}

// UnpackBucket undoes [Bucket].
func UnpackBucket(in []byte, words *Words) (series.Bucket, error) {
	var b series.Bucket
	r := reader{rest: in}
	r.format()
	outcomes, healths := r.byte(), r.byte()
	for i := range b.Runs {
		if outcomes&(1<<i) != 0 {
			b.Runs[i] = r.varint()
		}
	}
	for i := range b.Health {
		if healths&(1<<i) != 0 {
			b.Health[i] = time.Duration(r.varint())
		}
	}
	b.Latency = r.values()
	n := r.uvarint()
	if n > series.MostSamples {
		r.fail()
	}
	for range n {
		if r.err != nil {
			break
		}
		key := r.uvarint()
		name, ok := words.Name(key)
		v := r.values()
		if r.err == nil && !ok {
			r.err = fmt.Errorf("%w: no sample name has the number %d", ErrDamaged, key)
		}
		if b.Samples == nil {
			b.Samples = map[string]*series.Values{}
		}
		b.Samples[name] = &v
	}
	return b, r.err
}

func (r *reader) values() series.Values {
	count := r.uvarint()
	if count == 0 {
		return series.Values{}
	}
	size := r.uvarint()
	least := r.float()
	greatest, sum := least, least*float64(count)
	var sketch []byte
	if size > 0 {
		greatest, sum = r.float(), r.float()
		sketch = r.bytes(size)
	}
	if r.err != nil {
		return series.Values{}
	}
	v, err := series.MakeValues(int64(count), least, greatest, sum, sketch) //nolint:gosec // checked there
	if err != nil {
		r.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return v
}

func (r *reader) float() float64 {
	x, ok := r.sample().(float64)
	if !ok {
		r.fail()
	}
	return x
}

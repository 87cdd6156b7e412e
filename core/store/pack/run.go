package pack

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

const packed = 1

// ErrDamaged is of a packed row that cannot be read.
var ErrDamaged = errors.New("a packed row is damaged")

// What a packed run holds, as bits.
const (
	runManual = 1 << iota
	runHasWhy
	runHasSummary
	runHasSamples
)

// How a packed sample value is written.
const (
	sampleNil = iota
	sampleFalse
	sampleTrue
	sampleInt
	sampleFloat
	sampleWhole // a float64 without fraction, as a varint
	sampleText
	sampleDuration
	sampleTime
	sampleJSON
)

// Run appends to b what the columns of run do not hold.
func Run(b []byte, run *core.Run, words *Words) []byte {
	var flags byte
	set := func(bit byte, on bool) {
		if on {
			flags |= bit
		}
	}
	why := !run.Why.IsZero() || len(run.Why.Args) > 0
	set(runManual, run.Manual)
	set(runHasWhy, why)
	set(runHasSummary, run.Summary != "")
	set(runHasSamples, len(run.Samples) > 0)
	started := run.Started
	if started.IsZero() {
		started = run.Ended
	}
	due := run.Due
	if due.IsZero() {
		due = started
	}
	b = append(b, packed, flags)
	b = binary.AppendVarint(b, Nanos(run.Ended)-Nanos(started))
	b = binary.AppendVarint(b, Nanos(started)-Nanos(due))
	b = binary.AppendVarint(b, int64(run.Latency))
	if run.Summary != "" {
		b = appendText(b, run.Summary)
	}
	if why {
		b = appendJSON(b, run.Why)
	}
	if len(run.Samples) > 0 {
		b = binary.AppendUvarint(b, uint64(len(run.Samples)))
		for name, value := range run.Samples {
			key, _ := words.key(name)
			if b = binary.AppendUvarint(b, key); key == 0 {
				b = appendText(b, name)
			}
			b = appendSample(b, value)
		}
	}
	return b
}

// UnpackRun fills in what [Run] wrote; run.Ended is set already.
func UnpackRun(b []byte, run *core.Run, samples bool, words *Words) error {
	r := reader{rest: b}
	r.format()
	flags := r.byte()
	run.Manual = flags&runManual != 0
	run.Started = run.Ended.Add(-time.Duration(r.varint()))
	run.Due = run.Started.Add(-time.Duration(r.varint()))
	run.Latency = time.Duration(r.varint())
	if flags&runHasSummary != 0 {
		run.Summary = r.text()
	}
	if flags&runHasWhy != 0 {
		r.json(&run.Why)
	}
	if flags&runHasSamples != 0 && samples {
		n := r.uvarint()
		run.Samples = make(core.Samples, min(n, 256))
		for range n {
			key := r.uvarint()
			if r.err != nil {
				break
			}
			name, ok := words.Name(key)
			switch {
			case key == 0:
				name = r.text()
			case !ok:
				r.err = fmt.Errorf("%w: no sample name has the number %d", ErrDamaged, key)
			}
			run.Samples[name] = r.sample()
		}
	}
	return r.err
}

func appendSample(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, sampleNil)
	case bool:
		if v {
			return append(b, sampleTrue)
		}
		return append(b, sampleFalse)
	case int64:
		return binary.AppendVarint(append(b, sampleInt), v)
	case int:
		return binary.AppendVarint(append(b, sampleInt), int64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 && !(v == 0 && math.Signbit(v)) {
			return binary.AppendVarint(append(b, sampleWhole), int64(v))
		}
		return binary.LittleEndian.AppendUint64(append(b, sampleFloat), math.Float64bits(v))
	case string:
		return appendText(append(b, sampleText), v)
	case time.Duration:
		return binary.AppendVarint(append(b, sampleDuration), int64(v))
	case time.Time:
		return binary.AppendVarint(append(b, sampleTime), Nanos(v))
	}
	return appendJSON(append(b, sampleJSON), value)
}

func (r *reader) sample() any {
	switch kind := r.byte(); kind {
	case sampleNil:
		return nil
	case sampleFalse, sampleTrue:
		return kind == sampleTrue
	case sampleInt:
		return r.varint()
	case sampleWhole:
		return float64(r.varint())
	case sampleFloat:
		return math.Float64frombits(r.fixed())
	case sampleText:
		return r.text()
	case sampleDuration:
		return time.Duration(r.varint())
	case sampleTime:
		return Instant(r.varint())
	case sampleJSON:
		var value any
		r.json(&value)
		return value
	}
	r.fail()
	return nil
}

// What a packed standing holds, as bits.
const (
	standingHasWhy = 1 << iota
	standingHasProblem
)

// Standing appends a packed standing to b.
func Standing(b []byte, s core.Standing) []byte {
	var flags byte
	if !s.Why.IsZero() {
		flags |= standingHasWhy
	}
	if !s.Problem.IsZero() {
		flags |= standingHasProblem
	}
	t := s.Tally
	b = append(b, packed, flags, byte(s.Health), byte(s.Before), byte(s.LastWas), t.Seen)
	b = binary.AppendVarint(b, Nanos(s.LastAt))
	b = binary.AppendVarint(b, Nanos(s.Since))
	for _, n := range [...]uint64{uint64(s.LastRun), uint64(t.Fails), uint64(t.Bad), uint64(t.Passes), uint64(t.NotFail)} { //nolint:gosec // ids are positive
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, t.FailBit)
	b = binary.AppendUvarint(b, t.WarnBit)
	if flags&standingHasWhy != 0 {
		b = appendJSON(b, s.Why)
	}
	if flags&standingHasProblem != 0 {
		b = appendJSON(b, s.Problem)
	}
	return b
}

// UnpackStanding undoes [Standing].
func UnpackStanding(b []byte) (core.Standing, error) {
	var s core.Standing
	r := reader{rest: b}
	r.format()
	flags := r.byte()
	s.Health, s.Before, s.LastWas = core.Health(r.byte()), core.Health(r.byte()), core.Outcome(r.byte())
	s.Tally.Seen = r.byte()
	s.LastAt, s.Since = Instant(r.varint()), Instant(r.varint())
	s.LastRun = int64(r.uvarint()) //nolint:gosec // it was positive when it was written
	for _, field := range [...]*uint32{&s.Tally.Fails, &s.Tally.Bad, &s.Tally.Passes, &s.Tally.NotFail} {
		*field = uint32(r.uvarint()) //nolint:gosec // it was 32 bits when it was written
	}
	s.Tally.FailBit, s.Tally.WarnBit = r.uvarint(), r.uvarint()
	if flags&standingHasWhy != 0 {
		r.json(&s.Why)
	}
	if flags&standingHasProblem != 0 {
		r.json(&s.Problem)
	}
	return s, r.err
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// appendJSON writes value as JSON; what JSON cannot say becomes null.
func appendJSON(b []byte, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("null")
	}
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// reader reads what the append functions wrote. After the first fault every
// read is zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = ErrDamaged
	}
	r.rest = nil
}

func (r *reader) format() {
	if f := r.byte(); r.err == nil && f != packed {
		r.err = fmt.Errorf("%w: it is of format %d", ErrDamaged, f)
	}
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

func (r *reader) json(into any) {
	text := r.bytes(r.uvarint())
	if r.err != nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		r.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
}

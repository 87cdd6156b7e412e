package series

import (
	"errors"
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// Accuracy is how far a quantile may be from the true one, as a part of it.
const Accuracy = 0.01

// mostBins bounds a sketch: that many cover values from a nanosecond to many
// years at this accuracy.
const mostBins = 2048

// most is the greatest size of a value that is counted.
const most = 1e300

// indexes says which bin a value is in. It never changes: sketches that are
// stored were made with it.
var indexes = func() mapping.IndexMapping { //nolint:gochecknoglobals // a constant table
	m, err := mapping.NewLogarithmicMapping(Accuracy)
	if err != nil {
		panic(err) // the accuracy is between 0 and 1
	}
	return m
}()

func bins() store.Store { return store.NewCollapsingLowestDenseStore(mostBins) }

// ErrDamaged is of a stored sketch that cannot be read.
var ErrDamaged = errors.New("a stored sketch is damaged")

// Values is a set of numbers: how many, the least, the greatest, the sum, and a
// sketch from which quantiles come. Zero is empty. It is not safe for
// concurrent use.
type Values struct {
	Count         int64
	Min, Max, Sum float64
	sketch        *ddsketch.DDSketch // nil while all are equal
}

// MakeValues undoes what the fields of Values and [Values.Sketch] tell.
func MakeValues(count int64, least, greatest, sum float64, sketch []byte) (Values, error) {
	v := Values{Count: count, Min: least, Max: greatest, Sum: sum}
	if (len(sketch) > 0) != (count > 0 && least != greatest) || count < 0 || least > greatest {
		return Values{}, ErrDamaged
	}
	if len(sketch) == 0 {
		return v, nil
	}
	s, err := ddsketch.DecodeDDSketch(sketch, bins, indexes)
	if err != nil {
		return Values{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if math.Round(s.GetCount()) != float64(count) {
		return Values{}, ErrDamaged
	}
	v.sketch = s
	return v, nil
}

// Sketch is the part of v that its fields do not tell, nil when they tell all.
func (v *Values) Sketch() []byte {
	if v.sketch == nil {
		return nil
	}
	var b []byte
	v.sketch.Encode(&b, true)
	return b
}

// Add adds a number; one that is none or infinite is left out.
func (v *Values) Add(x float64) { v.add(x, 1) }

func (v *Values) add(x float64, count int64) {
	if !countable(x) || count <= 0 {
		return
	}
	if v.Count > 0 && v.sketch == nil && x != v.Min {
		v.open()
	}
	v.insert(x, count)
	v.tally(count, x, x, x*float64(count))
}

func countable(x float64) bool { return math.Abs(x) <= most } // false of NaN

// open makes the sketch of values that have all been equal.
func (v *Values) open() {
	v.sketch = ddsketch.NewDDSketchFromStoreProvider(indexes, bins)
	v.insert(v.Min, v.Count)
}

func (v *Values) insert(x float64, count int64) {
	if v.sketch != nil {
		_ = v.sketch.AddWithCount(x, float64(count)) // x is a number that has a bin
	}
}

func (v *Values) tally(count int64, least, greatest, sum float64) {
	if v.Count == 0 {
		v.Min, v.Max = least, greatest
	}
	v.Count, v.Sum = v.Count+count, v.Sum+sum
	v.Min, v.Max = min(v.Min, least), max(v.Max, greatest)
}

// Merge adds all that o holds, which stays as it is.
func (v *Values) Merge(o *Values) {
	if o.Count == 0 {
		return
	}
	if o.sketch == nil {
		sum := v.Sum + o.Sum
		v.add(o.Min, o.Count)
		v.Sum = sum
		return
	}
	if v.sketch == nil {
		if v.Count == 0 {
			v.sketch = ddsketch.NewDDSketchFromStoreProvider(indexes, bins)
		} else {
			v.open()
		}
	}
	_ = v.sketch.MergeWith(o.sketch) // both have the same bins
	v.tally(o.Count, o.Min, o.Max, o.Sum)
}

// Quantile is the value below which a share of all are, from 0 to 1: 0.95 is
// the 95th percentile. It is within [Accuracy] of the true one. Of nothing it
// is NaN.
func (v *Values) Quantile(share float64) float64 {
	switch {
	case v.Count == 0:
		return math.NaN()
	case v.sketch == nil || share <= 0:
		return v.Min
	case share >= 1:
		return v.Max
	}
	x, err := v.sketch.GetValueAtQuantile(share)
	if err != nil {
		return math.NaN()
	}
	return min(max(x, v.Min), v.Max)
}

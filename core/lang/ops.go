package lang

import (
	"cmp"
	"math"
	"math/bits"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

func (b *build) unary(x *ast.UnaryNode) thunk {
	if x.Operator == "!" || x.Operator == "not" {
		inner := b.rawBool(x)
		return func(f *frame) any { return inner(f) }
	}
	inner, at := b.any(x.Node), b.src.site(x.Node)
	minus := x.Operator == "-"
	return func(f *frame) any {
		v := inner(f)
		at.present(v)
		switch n := v.(type) {
		case int64:
			if minus {
				return -n
			}
			return n
		case float64:
			if minus {
				return -n
			}
			return n
		case time.Duration:
			if minus {
				return -n
			}
			return n
		}
		at.fail("%s is %s, not a number", at.text, describe(v))
		return nil
	}
}

func (b *build) binary(x *ast.BinaryNode) thunk {
	if fn := b.condition(x); fn != nil {
		return func(f *frame) any { return fn(f) }
	}
	at, left, right := b.src.site(x), b.src.site(x.Left), b.src.site(x.Right)
	if x.Operator == "??" {
		l, r := b.maybe(x.Left), b.maybe(x.Right)
		return func(f *frame) any {
			if v := l(f); !isNil(v) {
				return v
			}
			return r(f)
		}
	}
	l, r, op := b.any(x.Left), b.any(x.Right), x.Operator
	return func(f *frame) any {
		lv, rv := l(f), r(f)
		left.present(lv)
		right.present(rv)
		if op == ".." {
			return span(f, at, lv, rv)
		}
		v, ok := arithmetic(f, at, op, lv, rv)
		if !ok {
			at.fail("%s cannot be worked out: %s is %s, %s is %s", at.text, left.text, describe(lv), right.text, describe(rv))
		}
		return v
	}
}

// maxRange bounds the numbers of a..b.
const maxRange = 10_000

func span(f *frame, at site, l, r any) any {
	from, ok1 := l.(int64)
	to, ok2 := r.(int64)
	if !ok1 || !ok2 {
		at.fail("%s: both ends must be whole numbers", at.text)
	}
	if to < from {
		return []any{}
	}
	if to-from < 0 || to-from >= maxRange {
		at.fail("%s has more than %d numbers", at.text, maxRange)
	}
	f.spend(4*(int(to-from)+1), at) // each is put in memory of its own
	list := make([]any, 0, to-from+1)
	for i := from; ; i++ {
		list = append(list, i)
		if i == to {
			return list
		}
	}
}

// maxText bounds the texts that an expression makes.
const maxText = 1 << 20

func arithmetic(f *frame, at site, op string, l, r any) (any, bool) {
	switch x := l.(type) {
	case int64:
		switch y := r.(type) {
		case int64:
			return integers(at, op, x, y), true
		case float64:
			return floats(at, op, float64(x), y), true
		case time.Duration:
			return scaled(at, op, y, float64(x))
		}
	case float64:
		switch y := r.(type) {
		case int64:
			return floats(at, op, x, float64(y)), true
		case float64:
			return floats(at, op, x, y), true
		case time.Duration:
			return scaled(at, op, y, x)
		}
	case string:
		y, ok := r.(string)
		if !ok || op != "+" {
			return nil, false
		}
		f.spend((len(x)+len(y))/16+1, at)
		if len(x)+len(y) > maxText {
			at.fail("%s makes a text of more than %d bytes", brief(at.text), maxText)
		}
		return x + y, true
	}
	return times(at, op, l, r)
}

func times(at site, op string, l, r any) (any, bool) {
	switch x := l.(type) {
	case time.Duration:
		switch y := r.(type) {
		case time.Duration:
			switch op {
			case "+", "-":
				n, ok := integers(at, op, int64(x), int64(y)).(int64)
				return time.Duration(n), ok
			}
		case time.Time:
			if op == "+" {
				return y.Add(x), true
			}
		case int64:
			return scaled(at, op, x, float64(y))
		case float64:
			return scaled(at, op, x, y)
		}
	case time.Time:
		switch y := r.(type) {
		case time.Time:
			if op == "-" {
				return x.Sub(y), true
			}
		case time.Duration:
			switch op {
			case "+":
				return x.Add(y), true
			case "-":
				return x.Add(-y), true
			}
		}
	}
	return nil, false
}

func scaled(at site, op string, d time.Duration, by float64) (any, bool) {
	if op != "*" {
		return nil, false
	}
	product := float64(d) * by
	if math.IsNaN(product) || math.Abs(product) >= math.MaxInt64 {
		at.fail("%s is too long for a duration", at.text)
	}
	return time.Duration(product), true
}

func integers(at site, op string, x, y int64) any {
	switch op {
	case "+":
		if sum := x + y; (sum > x) == (y > 0) {
			return sum
		}
	case "-":
		if diff := x - y; (diff < x) == (y > 0) {
			return diff
		}
	case "*":
		if x == 0 || y == 0 {
			return int64(0)
		}
		hi, lo := bits.Mul64(magnitude(x), magnitude(y))
		if hi == 0 && lo <= math.MaxInt64 {
			return x * y
		}
	case "%":
		if y == 0 {
			at.fail("%s divides by zero", at.text)
		}
		if y == -1 {
			return int64(0)
		}
		return x % y
	default:
		return floats(at, op, float64(x), float64(y))
	}
	at.fail("%s is too large for an integer", at.text)
	return nil
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return uint64(-(x + 1)) + 1 //nolint:gosec // -(x+1) is not negative
	}
	return uint64(x)
}

func floats(at site, op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		if y == 0 {
			at.fail("%s divides by zero", at.text)
		}
		return x / y
	case "**", "^":
		return math.Pow(x, y)
	}
	at.fail("%s: %s takes whole numbers", at.text, op)
	return nil
}

func isNaN(v any) bool {
	x, ok := v.(float64)
	return ok && math.IsNaN(x)
}

// compare orders two values, false when they have no order.
func compare(l, r any) (int, bool) {
	switch x := l.(type) {
	case int64:
		switch y := r.(type) {
		case int64:
			return cmp.Compare(x, y), true
		case float64:
			return cmp.Compare(float64(x), y), !math.IsNaN(y)
		}
	case float64:
		switch y := r.(type) {
		case int64:
			return cmp.Compare(x, float64(y)), !math.IsNaN(x)
		case float64:
			return cmp.Compare(x, y), !math.IsNaN(x) && !math.IsNaN(y)
		}
	case string:
		if y, ok := r.(string); ok {
			return strings.Compare(x, y), true
		}
	case time.Duration:
		if y, ok := r.(time.Duration); ok {
			return cmp.Compare(x, y), true
		}
	case time.Time:
		if y, ok := r.(time.Time); ok {
			return x.Compare(y), true
		}
	}
	return 0, false
}

// equal reports whether two values are the same. Null equals null alone; it is
// here only after ?. or ??. Values of different kinds are a fault: a version
// that became a text is not merely another version.
func equal(f *frame, at, left, right site, l, r any) bool {
	if isNil(l) || isNil(r) {
		return isNil(l) && isNil(r)
	}
	lk, rk := valueKind(l), valueKind(r)
	if !lk.same(rk) {
		at.fail("%s cannot be compared: %s is %s, %s is %s", at.text, left.text, describe(l), right.text, describe(r))
	}
	return same(f, at, l, r, 0)
}

// same compares deeply; values of different kinds differ.
func same(f *frame, at site, l, r any, depth int) bool {
	if depth > maxValueDepth {
		at.fail("%s is nested deeper than %d levels", brief(at.text), maxValueDepth)
	}
	f.spend(1, at)
	if c, ok := compare(l, r); ok {
		return c == 0
	}
	switch x := l.(type) {
	case nil:
		return r == nil
	case bool:
		y, ok := r.(bool)
		return ok && x == y
	}
	switch k := valueKind(l); {
	case k != valueKind(r):
		return false
	case k == kList:
		return sameList(f, at, reflect.ValueOf(l), reflect.ValueOf(r), depth+1)
	case k == kMap:
		return sameMap(f, at, reflect.ValueOf(l), reflect.ValueOf(r), depth+1)
	}
	return false
}

func sameList(f *frame, at site, l, r reflect.Value, depth int) bool {
	if l.Len() != r.Len() {
		return false
	}
	for i := range l.Len() {
		if !same(f, at, plainValue(l.Index(i)), plainValue(r.Index(i)), depth) {
			return false
		}
	}
	return true
}

func sameMap(f *frame, at site, l, r reflect.Value, depth int) bool {
	if l.Len() != r.Len() {
		return false
	}
	for _, key := range l.MapKeys() {
		other := r.MapIndex(key.Convert(r.Type().Key()))
		if !other.IsValid() || !same(f, at, plainValue(l.MapIndex(key)), plainValue(other), depth) {
			return false
		}
	}
	return true
}

// contains is the operator in.
func contains(f *frame, at, left, right site, needle, in any) bool {
	switch valueKind(in) {
	case kList:
		found := false
		each(f, right, in, func(_ int, v any) bool {
			found = same(f, at, needle, v, 0)
			return !found
		})
		return found
	case kMap:
		name, ok := needle.(string)
		if !ok {
			left.fail("%s is %s; the keys of %s are texts", left.text, describe(needle), right.text)
		}
		v := reflect.ValueOf(in)
		return v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key())).IsValid()
	case kAny, kNil, kBool, kInt, kFloat, kString, kDuration, kTime, kStruct:
	}
	right.fail("%s is %s, not a list", right.text, describe(in))
	return false
}

// each calls fn for the elements of a list until it returns false.
func each(f *frame, at site, list any, fn func(i int, v any) bool) {
	switch x := list.(type) {
	case []any:
		for i, v := range x {
			f.spend(1, at)
			if !fn(i, plain(v)) {
				return
			}
		}
		return
	case []string:
		for i, v := range x {
			f.spend(1, at)
			if !fn(i, v) {
				return
			}
		}
		return
	}
	if valueKind(list) != kList {
		at.fail("%s is %s, not a list", at.text, describe(list))
	}
	rv := reflect.ValueOf(list)
	for i := range rv.Len() {
		f.spend(1, at)
		if !fn(i, plainValue(rv.Index(i))) {
			return
		}
	}
}

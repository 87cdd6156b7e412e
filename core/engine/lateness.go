package engine

import (
	"math/bits"
	"time"
)

// span is how long a part of the lateness is kept apart.
const span = time.Minute

// lateness is a histogram of how late runs began, of the last one to two
// minutes: each bucket is an eighth of a power of two wide, so that a quantile
// is at most 12.5 % too high. Its zero value is empty.
type lateness struct {
	now, before buckets
	turned      time.Duration // when before was now, by the monotonic clock
}

type buckets struct {
	counts [32 * 8]uint32
	total  uint64
}

func (l *lateness) add(late, mono time.Duration) {
	if mono-l.turned >= span {
		l.before = l.now
		if mono-l.turned >= 2*span {
			l.before = buckets{}
		}
		l.now, l.turned = buckets{}, mono
	}
	l.now.counts[bucket(late)]++
	l.now.total++
}

// bucket counts in steps of at least 8 microseconds; the last is for all that
// is more than hours.
func bucket(late time.Duration) int {
	us := uint64(max(late, 0).Microseconds()) / 8 //nolint:gosec // not negative
	if us < 8 {
		return int(us)
	}
	power := bits.Len64(us) - 1
	return min((power-2)*8+int(us>>(power-3)&7), 32*8-1)
}

// upper is the end of a bucket.
func upper(bucket int) time.Duration {
	if bucket < 8 {
		return time.Duration(bucket+1) * 8 * time.Microsecond
	}
	power, eighth := bucket/8+2, bucket%8
	return time.Duration(uint64(8+eighth+1)<<(power-3)) * 8 * time.Microsecond //nolint:gosec // a few hours at most
}

// quantile is the upper end of the bucket that the q-th part of all falls in.
func (l *lateness) quantile(q float64) time.Duration {
	rank := uint64(q * float64(l.now.total+l.before.total))
	seen := uint64(0)
	for i := range l.now.counts {
		seen += uint64(l.now.counts[i]) + uint64(l.before.counts[i])
		if seen > rank {
			return upper(i)
		}
	}
	return 0
}

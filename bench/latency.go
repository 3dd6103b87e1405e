package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets of a histogram: 64 to each doubling, so a figure is off by 1 % at most.
const (
	perDoubling = 64
	bucketCount = 59 * perDoubling
)

// latency counts durations. Adding one takes no lock and no memory.
type latency struct{ buckets [bucketCount]atomic.Int64 }

func (l *latency) add(d time.Duration) {
	l.buckets[bucket(uint64(max(d, 0)))].Add(1) //nolint:gosec // it is not negative
}

// bucket is where so many nanoseconds are counted.
func bucket(ns uint64) int {
	shift := max(bits.Len64(ns)-bits.Len(perDoubling), 0)
	return shift*perDoubling + int(ns>>shift) //nolint:gosec // below two times perDoubling
}

// middle is the duration that stands for a bucket.
func middle(i int) time.Duration {
	shift := max(i/perDoubling-1, 0)
	low := int64(i-shift*perDoubling) << shift
	return time.Duration(low + int64(1)<<shift/2)
}

// quantile is the duration in milliseconds that so much of what was counted does not
// exceed; 0 when nothing was.
func (l *latency) quantile(q float64) float64 {
	var all int64
	for i := range l.buckets {
		all += l.buckets[i].Load()
	}
	var seen int64
	for i := range l.buckets {
		seen += l.buckets[i].Load()
		if seen > 0 && float64(seen) >= q*float64(all) {
			return ms(middle(i))
		}
	}
	return 0
}

// last is the moment of something that happens again and again, one at a time.
type last struct{ at atomic.Int64 }

// since returns how long ago it happened last, and that it happens now. False the
// first time.
func (l *last) since(now time.Duration) (time.Duration, bool) {
	before := l.at.Swap(int64(now))
	return now - time.Duration(before), before != 0
}

func (l *last) forget() { l.at.Store(0) }

package export

import (
	"math"
	"math/bits"
	"slices"
)

// exactValues is how many values a histogram keeps as they are.
const exactValues = 1024

// subBuckets is the number of buckets between two powers of two: percentiles are at most 1/64 off.
const subBuckets = 64

// histogram keeps a distribution of durations (ns) in bounded memory: exactly while there are few,
// in buckets of equal relative width from then on. Those below 0 count as 0 in buckets.
type histogram struct {
	count   int64
	max     int64
	exact   []int64
	buckets []int64 // nil while the values are exact
}

func (h *histogram) add(v int64) {
	if h.count == 0 || v > h.max {
		h.max = v
	}
	h.count++
	if h.buckets == nil && len(h.exact) < exactValues {
		h.exact = append(h.exact, v)
		return
	}
	if h.buckets == nil {
		h.buckets = make([]int64, bucketOf(math.MaxInt64)+1)
		for _, x := range h.exact {
			h.buckets[bucketOf(x)]++
		}
		h.exact = nil
	}
	h.buckets[bucketOf(v)]++
}

func bucketOf(v int64) int {
	u := uint64(max(v, 0))
	if u < subBuckets {
		return int(u)
	}
	e := bits.Len64(u) - 7 // subBuckets is 2^6
	return (e+1)*subBuckets + int(u>>e) - subBuckets
}

// bucketMax is the greatest value of a bucket.
func bucketMax(b int) int64 {
	if b < subBuckets {
		return int64(b)
	}
	e := b/subBuckets - 1
	return int64((uint64(b%subBuckets)+subBuckets+1)<<e - 1)
}

// percentile returns the value that the share p (0 to 1) of all values does not exceed (nearest rank).
func (h *histogram) percentile(p float64) int64 {
	if h.count == 0 {
		return 0
	}
	rank := int64(p*float64(h.count) + 0.999999)
	rank = min(max(rank, 1), h.count)
	if h.buckets == nil {
		s := slices.Sorted(slices.Values(h.exact))
		return s[rank-1]
	}
	for k, n := range h.buckets {
		if rank -= n; n > 0 && rank <= 0 {
			return min(bucketMax(k), h.max)
		}
	}
	return h.max
}

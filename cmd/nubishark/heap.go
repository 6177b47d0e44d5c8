package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapAim is how large the heap may become before it is collected, in bytes, as far as what is in use leaves room.
	heapAim = 44 << 20
	// Of the heap in use, so much is added at least, and at most, before the next collection (%); a large one takes longer to be
	// looked through, and may grow more.
	leastGrowth, largeGrowth, mostGrowth = 12, 30, 1100
	// From so many bytes of captures on, a run is long enough for hugePages to gain more than it takes.
	longRun = 16 << 20
)

// ownPace reports whether nobody has told the collector how to go.
func ownPace() bool { return os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" }

// prepareHeap is for what handles many packets, or runs for long: it is to stay small. What does neither is done before the first
// collection, and what reads files to analyse them goes by paceCollector from the start.
func prepareHeap() {
	if ownPace() {
		debug.SetGCPercent(leastGrowth)
	}
}

// paceCollector makes collections rare as long as the heap of a run over files is small: what is allocated stays, mostly, so that they find little,
// and each of them looks at all connections. The size is that of the files, 0 where it is not known.
func paceCollector(size int64) {
	if size == 0 || size >= longRun {
		hugePages()
	}
	if !ownPace() {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	type sentinel [64]byte // found to be unused by each collection
	var afterEach func(*sentinel)
	afterEach = func(*sentinel) {
		metrics.Read(live)
		used := int64(live[0].Value.Uint64())
		least := int64(leastGrowth)
		if used > 3*heapAim {
			least = largeGrowth
		}
		debug.SetGCPercent(int(min(max((heapAim-used)*100/max(used, 1<<20), least), mostGrowth)))
		runtime.SetFinalizer(&sentinel{}, afterEach)
	}
	afterEach(nil)
}

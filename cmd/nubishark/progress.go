package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A bar appears when reading takes longer than patience, and moves every so often.
const (
	patience = 500 * time.Millisecond
	interval = 100 * time.Millisecond
	barWidth = 30
)

// progress shows how much of the input was read.
type progress struct {
	w     io.Writer
	on    bool
	next  time.Time
	shown bool
}

func newProgress(w io.Writer, on bool) *progress {
	return &progress{w: w, on: on, next: time.Now().Add(patience)}
}

// show draws the bar, if it is time. size is 0 where it is not known.
func (p *progress) show(read, size int64) {
	if !p.on {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(interval)
	p.shown = true
	fmt.Fprint(p.w, "\r"+bar(read, size))
}

func bar(read, size int64) string {
	if size <= 0 {
		return fmt.Sprintf("%.1f MiB read", mib(read))
	}
	share := min(float64(read)/float64(size), 1)
	full := int(share * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%  %.1f of %.1f MiB", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), share*100, mib(read), mib(size))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// clear removes the bar.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

package dissect

// holes lists the parts of [from, to) that were never captured, as offsets from from.
func (h *half) holes(from, to int64) (list [][2]int) {
	for _, s := range h.segs {
		if a, b := max(s.start, from), min(s.end, to); s.gap && a < b {
			list = append(list, [2]int{int(a - from), int(b - from)})
		}
	}
	return list
}

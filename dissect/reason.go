package dissect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nubishark/nubishark/protocol"
)

// Reason says why a request has no answer.
type Reason uint8

// The reasons.
const (
	NoReason Reason = iota
	// CaptureLost: the answer may be among bytes that were never captured, though the peer acknowledged them.
	CaptureLost
	// NeverDelivered: TCP sent the request again, and the peer never acknowledged it.
	NeverDelivered
	// NotAnswered: the peer's TCP has the request, and its application said nothing.
	NotAnswered
	// AnsweredLate: an answer came after the timeout.
	AnsweredLate
	// ConnClosed: the connection ended first.
	ConnClosed
	// CaptureEnded: the capture ended first.
	CaptureEnded
)

// Reasons are all reasons, in the order of their numbers.
var Reasons = []Reason{CaptureLost, NeverDelivered, NotAnswered, AnsweredLate, ConnClosed, CaptureEnded}

// String returns the reason's name in records, "" for NoReason.
func (r Reason) String() string {
	return [...]string{"", "capture-lost", "never-delivered", "delivered-not-answered", "answered-late", "closed", "capture-ended"}[r]
}

// TCP tells what TCP's own numbers prove about a connection, at the moment when it is asked.
type TCP interface {
	// ResentAt lists capture packets that carried again what stands between two stream offsets.
	ResentAt(dir int, from, to int64) []int64
	// EndedAt returns the capture packet that ended a direction, 0 if none did.
	EndedAt(dir int) int64
}

// explain gives an unanswered request its reason, and the capture packets that prove it.
func (c *Dialogue) explain(h *half, t *transaction, timeout bool) {
	from, end := t.offset, t.end()
	var again []int64
	if c.tcp != nil {
		again = c.tcp.ResentAt(h.dir, from, end)
	}
	acked, delivered := t.acked, t.acked > 0
	if !delivered {
		acked, delivered = c.acks.at(h.dir, end)
	}
	switch {
	case t.reason == AnsweredLate: // the answer is at hand
	case c.explained(h, t):
		t.reason, t.evidence = CaptureLost, c.gapEvidence(h.peer)
	case !delivered && len(again) > 0:
		t.reason, t.evidence = NeverDelivered, again
	case !timeout && c.closer >= 0:
		t.reason = ConnClosed
		if c.tcp != nil && c.tcp.EndedAt(c.closer) > 0 {
			t.evidence = []int64{c.tcp.EndedAt(c.closer)}
		}
	default:
		t.reason = NotAnswered
		if delivered {
			t.evidence = []int64{acked}
		}
	}
}

// hints say what to do about no-response where the reason is another than the responder's silence.
var hints = map[Reason]string{
	NeverDelivered: "look at the way between the two: radio, NAT or firewall that forgot the connection, a peer that is gone without a word",
	ConnClosed:     "look why the connection was closed while a request waited",
}

// gapEvidence is the capture packet that acknowledged what was never captured of a direction, else the one that made the gap known.
func (c *Dialogue) gapEvidence(h *half) []int64 {
	if !h.gaps {
		return nil
	}
	if h.gapAcked > 0 {
		return []int64{h.gapAcked}
	}
	if h.gapPacket > 0 {
		return []int64{h.gapPacket}
	}
	return nil
}

// proof says in words what a reason rests on. Without an acknowledgement that was captured, it counts that TCP did not send the
// request again.
func (t *transaction) proof(responder protocol.Side) string {
	packets := "packet"
	if len(t.evidence) > 1 {
		packets = "packets"
	}
	packets += " " + strings.ReplaceAll(strings.Trim(fmt.Sprint(t.evidence), "[]"), " ", ", ")
	switch {
	case t.reason == NeverDelivered:
		return fmt.Sprintf("; it never reached the %s: sent again in %s, and never acknowledged", responder, packets)
	case t.reason == NotAnswered && len(t.evidence) > 0:
		return fmt.Sprintf("; the %s's TCP has it (acknowledged in %s), its application said nothing", responder, packets)
	case t.reason == ConnClosed && len(t.evidence) > 0:
		return " (" + packets + ")"
	}
	return ""
}

// Severity is how bad it is. A request that never reached the peer is nobody's fault who speaks the protocol.
func (v *Violation) Severity() protocol.Severity {
	if v.Network() {
		return protocol.Note
	}
	return v.Rule.Severity
}

// Network reports whether neither side is to blame, nor the capture, but what lies between them.
func (v *Violation) Network() bool { return v.Reason == NeverDelivered }

// BlameName names who is to blame: device, server, capture, or the network between them.
func (v *Violation) BlameName() string {
	switch {
	case v.Network():
		return "network"
	case v.Blame == protocol.Unknown:
		return "capture"
	}
	return v.Blame.String()
}

// Late reports whether the packet is a response that came after its request had counted as unanswered.
func (f *Frame) Late() bool { return slices.Contains(f.Violations, protocol.LateResponse) }

// Side is one of the two parties.
type Side = protocol.Side

// Sender returns the side that sends in a direction, as far as it is known.
func (c *Dialogue) Sender(dir int) Side { return c.sideOf(dir) }

package dissect

import (
	"fmt"
	"slices"
	"time"

	"github.com/nubishark/nubishark/protocol"
)

// Note is something worth knowing that breaks no rule: of a device, that it is late, silent, or comes back too often; of the whole
// capture, what it lacks.
type Note struct {
	// ID is heartbeat-missed, device-silent or reconnect-storm; of the capture, PreflightNote and the name of an artefact.
	ID string
	// Conn is nil for a note on the capture.
	Conn   *Conn
	Device string
	// Time is the moment from which it is so (ns since 1970); Message says what with its times.
	Time    int64
	Message string

	// Of the capture: how often it is so, the first capture packet (0 for none) and the first connection (nil for none), and the
	// violations that it may explain.
	Count, Packet int64
	Stream        *int
	Doubtful      []RuleCount
}

// The notes.
const (
	HeartbeatMissed = "heartbeat-missed"
	DeviceSilent    = "device-silent"
	ReconnectStorm  = "reconnect-storm"
)

// NoteSink is a Sink that wants notes, too.
type NoteSink interface{ Note(*Note) }

const (
	// beatsLearned is the number of intervals between heartbeats whose middle one is the period.
	beatsLearned = 5
	minLearned   = 3
	// A storm is so many logins of a device within so much time.
	stormLogins = 5
	stormTime   = 60 * second
	// maxComers bounds the devices whose logins are remembered.
	maxComers = 16384
)

// pulse is how a device lets itself be heard on a connection.
type pulse struct {
	beat   int64 // time of the last heartbeat
	heard  int64 // time of the device's last packet
	period int64 // between heartbeats, 0 while it is not known
	gaps   [beatsLearned]int64
	n      int
	told   int // 1 that a beat is missed, 2 that the device is silent
}

// feel takes in a packet of the device.
func (c *Conn) feel(f *Frame) {
	p := &c.pulse
	if f.From != protocol.Device {
		return
	}
	p.heard, p.told = max(p.heard, f.Time), 0
	switch f.Letter {
	case 'H':
		if p.beat > 0 && f.Time > p.beat {
			p.gaps[p.n%beatsLearned] = f.Time - p.beat
			p.n++
		}
		p.beat = max(p.beat, f.Time)
		if k := min(p.n, beatsLearned); k >= minLearned {
			list := slices.Clone(p.gaps[:k])
			slices.Sort(list)
			p.period = list[k/2]
		}
	case 'L':
		c.d.came(c, f.Time)
	}
}

// pulseDue is the moment at which the device's silence says something, 0 for never.
func (c *Conn) pulseDue() int64 {
	p := &c.pulse
	if p.period == 0 || c.standing != confirmed || c.half[c.DeviceDir].ended != running {
		return 0
	}
	switch p.told {
	case 0:
		return p.heard + p.period + max(p.period/2, second)
	case 1:
		return p.heard + 3*p.period + second
	}
	return 0
}

// checkPulse tells of a silence, if it is time.
func (c *Conn) checkPulse(now int64) {
	for due := c.pulseDue(); due > 0 && due <= now; due = c.pulseDue() {
		p := &c.pulse
		p.told++
		n := &Note{ID: HeartbeatMissed, Conn: c, Device: c.device, Time: p.heard + p.period}
		n.Message = fmt.Sprintf("nothing from the device since %s: heartbeats came every %s", clockTime(p.heard), span(p.period))
		if p.told > 1 {
			n.ID, n.Time = DeviceSilent, due
			n.Message = fmt.Sprintf("nothing from the device since %s, for three heartbeats of %s, and the connection is open", clockTime(p.heard), span(p.period))
		}
		c.d.note(n)
	}
}

// comer is what is remembered of a device's logins.
type comer struct {
	logins [stormLogins]int64
	n      int
	told   int64 // time of the last login of a storm that was told
}

// came takes in a login.
func (d *Dissector) came(c *Conn, now int64) {
	if c.device == "" {
		return
	}
	x := d.comers[c.device]
	if x == nil {
		if len(d.comers) >= maxComers || d.comers == nil {
			d.comers = make(map[string]*comer)
		}
		x = &comer{}
		d.comers[c.device] = x
	}
	x.logins[x.n%stormLogins] = now
	x.n++
	first := x.logins[x.n%stormLogins] // the oldest of them
	if x.n < stormLogins || now-first > stormTime {
		return
	}
	fresh := x.told == 0 || now-x.told > stormTime
	x.told = now
	if fresh {
		d.note(&Note{
			ID: ReconnectStorm, Conn: c, Device: c.device, Time: now,
			Message: fmt.Sprintf("%d logins of the device within %s, since %s", stormLogins, span(now-first), clockTime(first)),
		})
	}
}

func (d *Dissector) note(n *Note) {
	if s, ok := d.sink.(NoteSink); ok {
		s.Note(n)
	}
}

func clockTime(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05.000") }

// span is a duration to a tenth of a second.
func span(ns int64) string { return time.Duration(ns).Round(100 * time.Millisecond).String() }

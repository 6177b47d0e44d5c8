package dissect

import (
	"fmt"
	"slices"
	"time"
)

// Note is something worth knowing that breaks no rule: of a device, that it is late, silent, or comes back too often; of the whole
// capture, what it lacks.
type Note struct {
	// ID is heartbeat-missed, device-silent or reconnect-storm; of the capture, PreflightNote and the name of an artefact.
	ID string
	// Conn is nil for a note on the capture.
	Conn   *Conn
	Device string
	// Time is the moment from which it is so (ns since 1970).
	Time int64
	// Message says it where that is known beforehand; Said always does.
	Message string

	heard, period int64 // of a device that is late or silent

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

// Said says what is so, with its times.
func (x *Note) Said() string {
	switch {
	case x.Message != "" || x.period == 0:
		return x.Message
	case x.ID == DeviceSilent:
		return fmt.Sprintf("nothing from the device since %s, for three heartbeats of %s, and the connection is open", clockTime(x.heard), span(x.period))
	}
	return fmt.Sprintf("nothing from the device since %s: heartbeats came every %s", clockTime(x.heard), span(x.period))
}

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
	heard  int64 // time of the device's last packet
	period int64 // between heartbeats, 0 while it is not known
	beat   int64 // time of the last heartbeat
}

// beats are the latest intervals between heartbeats.
type beats struct {
	gaps [beatsLearned]int64 // a ring
	n    uint32
}

func (s *beats) add(gap int64) {
	s.gaps[s.n%beatsLearned] = gap
	s.n++
}

// period is the middle one of the intervals, 0 where there are too few.
func (s *beats) period() int64 {
	if s.n < minLearned {
		return 0
	}
	if s.n < beatsLearned {
		list := s.gaps
		slices.Sort(list[:s.n])
		return list[s.n/2]
	}
	g := &s.gaps // without branches, because nobody can guess which are the greater ones
	a, b := min(g[0], g[1]), max(g[0], g[1])
	c, d := min(g[2], g[3]), max(g[2], g[3])
	low, high := max(a, c), min(b, d)
	return max(min(g[4], low), min(max(g[4], low), high))
}

// feel takes in a packet of the device.
func (c *Dialogue) feel(dir int, letter byte, time int64) {
	if dir != int(c.deviceDir) {
		return
	}
	p := &c.pulse
	p.heard, c.told = max(p.heard, time), 0
	switch letter {
	case 'H':
		if p.beat > 0 && time > p.beat {
			c.beats.add(time - p.beat)
			p.period = c.beats.period()
		}
		p.beat = max(p.beat, time)
	case 'L':
		if c.named {
			c.d.add(&arrival{c.conn, c.device, time})
		}
	}
	if p.period > 0 {
		c.armBy(p.late())
	}
}

// late is the moment at which a beat is missed.
func (p *pulse) late() int64 { return p.heard + p.period + max(p.period/2, second) }

// pulseDue is the moment at which the device's silence says something, 0 for never.
func (c *Dialogue) pulseDue() int64 {
	p := &c.pulse
	if p.period == 0 || c.standing != confirmed || !c.easy && c.half[c.deviceDir].ended != running {
		return 0
	}
	switch c.told {
	case 0:
		return p.late()
	case 1:
		return p.heard + 3*p.period + second
	}
	return 0
}

// checkPulse tells of a silence, if it is time.
func (c *Dialogue) checkPulse(now int64) {
	for due := c.pulseDue(); due > 0 && due <= now; due = c.pulseDue() {
		p := &c.pulse
		c.told++
		n := &Note{ID: HeartbeatMissed, Conn: c.conn, Device: c.device, Time: p.heard + p.period, heard: p.heard, period: p.period}
		if c.told > 1 {
			n.ID, n.Time = DeviceSilent, due
		}
		c.out(n)
	}
}

// comer is what is remembered of a device's logins.
type comer struct {
	logins [stormLogins]int64
	n      int
	told   int64 // time of the last login of a storm that was told
}

// arrival is a login of a device.
type arrival struct {
	conn   *Conn
	device string
	time   int64
}

// give notes the login, and tells of a storm of them.
func (a *arrival) give(n *Numbering) {
	x := n.comers[a.device]
	if x == nil {
		if len(n.comers) >= maxComers || n.comers == nil {
			n.comers = make(map[string]*comer)
		}
		x = &comer{}
		n.comers[a.device] = x
	}
	x.logins[x.n%stormLogins] = a.time
	x.n++
	first := x.logins[x.n%stormLogins] // the oldest of them
	if x.n < stormLogins || a.time-first > stormTime {
		return
	}
	fresh := x.told == 0 || a.time-x.told > stormTime
	x.told = a.time
	if fresh {
		(&Note{
			ID: ReconnectStorm, Conn: a.conn, Device: a.device, Time: a.time,
			Message: fmt.Sprintf("%d logins of the device within %s, since %s", stormLogins, span(a.time-first), clockTime(first)),
		}).give(n)
	}
}

// give hands the note to a sink that wants it.
func (x *Note) give(n *Numbering) {
	if s, ok := n.sink.(NoteSink); ok {
		s.Note(x)
	}
}

func clockTime(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05.000") }

// span is a duration to a tenth of a second.
func span(ns int64) string { return time.Duration(ns).Round(100 * time.Millisecond).String() }

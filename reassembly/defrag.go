package reassembly

import "slices"

// The bounds on fragments that wait: datagrams, and capture time (ns; RFC 8200 gives a minute).
const (
	maxDatagrams = 256
	fragmentLife = int64(60e9)
	maxDatagram  = 65535
)

type fragKey struct {
	src, dst [16]byte
	id       uint32
	proto    byte // IPv4 only: in IPv6 the ID alone tells datagrams apart
	v6       bool
}

// datagram gathers the fragments of an IP datagram; of bytes that come twice the first count.
type datagram struct {
	key   fragKey
	time  int64
	buf   []byte
	have  []bool // of each 8 bytes
	count int    // true ones in have
	total int    // -1 while it is not known
	proto byte
}

// defragmenter puts IPv4 and IPv6 fragments together (RFC 791, RFC 8200).
type defragmenter struct {
	list  map[fragKey]*datagram
	order []*datagram // by age; finished ones are skipped
}

// add takes a fragment and reports whether p is now the whole datagram. Where bytes of a fragment
// were not captured, or two fragments do not fit together, the datagram never is.
func (d *defragmenter) add(p *ipPacket, now int64) bool {
	if len(p.body) < p.length || p.offset+p.length > maxDatagram || p.more && p.length%8 != 0 || p.length == 0 {
		return false
	}
	k := fragKey{id: p.id, proto: p.proto, v6: p.v6}
	n := len(p.addrs) / 2
	copy(k.src[:], p.addrs[:n])
	copy(k.dst[:], p.addrs[n:])
	if p.v6 {
		k.proto = 0
	}
	g := d.list[k]
	if g == nil || now-g.time > fragmentLife {
		g = d.open(k, now)
	}
	g.put(p)
	if !g.whole() {
		return false
	}
	delete(d.list, k)
	p.proto, p.body, p.length, p.frag = g.proto, g.buf[:g.total], g.total, false
	g.buf, g.have = nil, nil
	return true
}

func (d *defragmenter) open(k fragKey, now int64) *datagram {
	if d.list == nil {
		d.list = make(map[fragKey]*datagram)
	}
	if len(d.list) >= maxDatagrams || len(d.order) >= 2*maxDatagrams {
		d.order = slices.DeleteFunc(d.order, func(g *datagram) bool { return d.list[g.key] != g })
		if len(d.list) >= maxDatagrams {
			delete(d.list, d.order[0].key)
			d.order = slices.Delete(d.order, 0, 1)
		}
	}
	g := &datagram{key: k, time: now, total: -1}
	d.list[k] = g
	d.order = append(d.order, g)
	return g
}

func (g *datagram) put(p *ipPacket) {
	end := p.offset + p.length
	if !p.more && g.total < 0 {
		g.total = end
	}
	if p.offset == 0 || !p.v6 {
		g.proto = p.proto
	}
	if grow := end - len(g.buf); grow > 0 {
		g.buf = append(g.buf, make([]byte, grow)...)
	}
	if grow := (end+7)/8 - len(g.have); grow > 0 {
		g.have = append(g.have, make([]bool, grow)...)
	}
	for i := 0; i < p.length; i += 8 {
		if u := (p.offset + i) / 8; !g.have[u] {
			g.have[u] = true
			g.count++
			copy(g.buf[p.offset+i:min(end, p.offset+i+8)], p.body[i:])
		}
	}
}

func (g *datagram) whole() bool {
	return g.total > 0 && g.count == (g.total+7)/8 && g.count == len(g.have)
}

package reassembly

import "net/netip"

// maxDatagrams bounds the datagrams whose fragments are waited for, fragmentLife the capture time (ns).
const (
	maxDatagrams = 256
	fragmentLife = int64(60e9)
)

type fragKey struct {
	src, dst netip.Addr
	id       uint32
	proto    byte
}

// datagram gathers the fragments of an IP datagram; the first copy of a byte wins.
type datagram struct {
	time  int64
	buf   []byte
	have  []bool // of each 8 bytes
	total int    // -1 while it is not known
}

// defragmenter puts IPv4 and IPv6 fragments together (RFC 791, RFC 8200).
type defragmenter struct {
	list  map[fragKey]*datagram
	order []fragKey
}

// add takes a fragment and reports whether p is now the whole datagram.
func (d *defragmenter) add(p *ipPacket, now int64) bool {
	if len(p.body) < p.length || p.offset+p.length > 65535 || p.more && p.length%8 != 0 {
		return false
	}
	k := fragKey{p.src, p.dst, p.id, p.proto}
	if p.src.Is6() {
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
	p.body, p.length, p.frag = g.buf[:g.total], g.total, false
	return true
}

func (d *defragmenter) open(k fragKey, now int64) *datagram {
	if d.list == nil {
		d.list = make(map[fragKey]*datagram)
	}
	for len(d.order) >= maxDatagrams {
		delete(d.list, d.order[0])
		d.order = d.order[1:]
	}
	d.order = append(d.order, k)
	g := &datagram{time: now, total: -1}
	d.list[k] = g
	return g
}

func (g *datagram) put(p *ipPacket) {
	end := p.offset + p.length
	if !p.more && g.total < 0 {
		g.total = end
	}
	for len(g.buf) < end {
		g.buf = append(g.buf, 0)
	}
	for len(g.have) < (end+7)/8 {
		g.have = append(g.have, false)
	}
	for i := 0; i < p.length; i += 8 {
		if u := (p.offset + i) / 8; !g.have[u] {
			g.have[u] = true
			copy(g.buf[p.offset+i:min(end, p.offset+i+8)], p.body[i:])
		}
	}
}

func (g *datagram) whole() bool {
	if g.total < 0 || len(g.have) < (g.total+7)/8 {
		return false
	}
	for _, h := range g.have[:(g.total+7)/8] {
		if !h {
			return false
		}
	}
	return true
}

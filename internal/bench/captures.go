package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

const (
	microsecond = int64(1e3)
	millisecond = int64(1e6)
)

// ordinary is traffic of so many packets with 5,000 connections that live at the same time, once enough have been opened.
func ordinary(packets int64) simulate.Options {
	return simulate.Options{Seed: 1, Packets: packets, Connections: 1, Requests: 100, PayloadMax: 100, Interval: 2000 * millisecond, Spacing: 20 * millisecond}
}

func written(path string, link capture.LinkType, write func(*capture.PcapWriter) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := bufio.NewWriterSize(f, 1<<20)
	w := capture.NewPcapWriter(b, link, true)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// hostile writes packets of one device and one server by hand, IPv4 without a link header.
type hostile struct {
	w      *capture.PcapWriter
	time   int64
	seq    [2]uint32
	device uint32 // address
	port   uint16
	err    error
}

const (
	flagFIN = 1 << iota
	flagSYN
	_
	flagPSH
	flagACK
)

// send writes a segment with the next bytes of a side.
func (h *hostile) send(side int, flags byte, payload string) {
	h.at(side, h.seq[side], flags, payload)
	h.seq[side] += uint32(len(payload))
	if flags&(flagSYN|flagFIN) != 0 {
		h.seq[side]++
	}
}

// at writes a segment with the bytes at a sequence number.
func (h *hostile) at(side int, seq uint32, flags byte, payload string) {
	b := make([]byte, 40, 40+len(payload))
	b = append(b, payload...)
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	src, dst, sport, dport := h.device, uint32(10<<24|1<<23|1), h.port, uint16(9100)
	if side == 1 {
		src, dst, sport, dport = dst, src, dport, sport
	}
	binary.BigEndian.PutUint32(b[12:], src)
	binary.BigEndian.PutUint32(b[16:], dst)
	binary.BigEndian.PutUint16(b[20:], sport)
	binary.BigEndian.PutUint16(b[22:], dport)
	binary.BigEndian.PutUint32(b[24:], seq)
	if flags&flagACK != 0 {
		binary.BigEndian.PutUint32(b[28:], h.seq[1-side])
	}
	b[32], b[33] = 5<<4, flags
	h.time += 10 * microsecond
	if err := h.w.Write(capture.Packet{Time: h.time, Link: 101, WireLen: len(b), Data: b}); err != nil && h.err == nil {
		h.err = err
	}
}

const token = "tokentokentokentokentoke"

// login opens the connection and logs in.
func (h *hostile) login() {
	h.send(0, flagSYN, "")
	h.send(1, flagSYN|flagACK, "")
	h.send(0, flagACK, "")
	h.send(0, flagACK|flagPSH, "Lsession1client-client-clientsecret-secret-secretPRODUCT0\x03one")
	h.send(1, flagACK|flagPSH, "Rsession1\x01"+token)
	h.send(0, flagACK|flagPSH, "Dsession2"+token+"\x00\x00")
	h.send(1, flagACK|flagPSH, "Rsession2\x01")
}

// worst are captures that keep an analyzer as busy as can be, of about n packets.
var worst = []struct {
	name  string
	write func(h *hostile, n int)
}{
	{"a connection for each packet", func(h *hostile, n int) {
		for i := range n {
			h.device, h.port = 10<<24|uint32(i>>14), uint16(20000+i&0x3fff)
			h.send(0, flagACK|flagPSH, fmt.Sprintf("D%08d", i)+token+"\x00\x05hello")
		}
	}},
	{"rubbish that may be a packet at every byte", func(h *hostile, n int) {
		h.login()
		for i := range n {
			h.send(0, flagACK|flagPSH, "LODCHR"[i%6:][:1])
		}
	}},
	{"one-byte segments, each thousand in reverse order", func(h *hostile, n int) {
		h.login()
		payload := fmt.Sprintf("D%08d", 1) + token + "\x03\xc5"
		payload += string(slices.Repeat([]byte{'x'}, 1000-len(payload)))
		for range n / 1000 {
			for i := range 1000 {
				k := 999 - i
				h.at(0, h.seq[0]+uint32(k), flagACK, payload[k:k+1])
			}
			h.seq[0] += 1000
		}
	}},
	{"requests that nobody answers, 65,536 outstanding", func(h *hostile, n int) {
		h.login()
		for i := range n {
			h.send(0, flagACK|flagPSH, fmt.Sprintf("D%08d", i)+token+"\x00\x00")
		}
	}},
	{"requests beside 69 kB of rubbish", func(h *hostile, n int) {
		h.login()
		for range 69 {
			h.send(1, flagACK, string(slices.Repeat([]byte{'x'}, 1000)))
		}
		for i := range n {
			h.send(0, flagACK|flagPSH, fmt.Sprintf("D%08d", i)+token+"\x00\x00")
		}
	}},
}

// worstCase writes one of them.
func worstCase(path string, i, n int) error {
	return written(path, 101, func(w *capture.PcapWriter) error {
		h := &hostile{w: w, time: 1767225600e9, device: 10<<24 | 1, port: 40000}
		worst[i].write(h, n)
		return h.err
	})
}

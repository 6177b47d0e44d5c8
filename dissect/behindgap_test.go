package dissect

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at once tells of segments that all waited behind a hole: write ends are marked with a bar behind the last byte.
func (t *talk) atOnce(dir int, segments ...string) *talk {
	t.now += 1e6
	for i, s := range segments {
		s, push := strings.CutSuffix(s, "|")
		t.packet++
		t.heard[dir]++
		t.d.Bytes(t.c, dir, []byte(s), &Part{Offset: t.at[dir], Time: t.now, Packet: t.packet, Push: push, More: i < len(segments)-1})
		t.at[dir] += int64(len(s))
	}
	return t
}

// byByte cuts a write into segments of one byte.
func byByte(s string) (list []string) {
	for i := range len(s) {
		list = append(list, s[i:i+1])
	}
	list[len(list)-1] += "|"
	return list
}

// What a gap left of a packet may look like another one: what is beyond doubt goes before it, and nobody is accused of it.
func TestRestBehindAGap(t *testing.T) {
	const gap = "! capture-gap device 96\n"
	middle := strings.Repeat("a", 80)
	beat := "Hbeatabcd" + tok + "\x03xyz"
	next := data("bbbbbbbb", "") + "|"
	relogin := "Laaaaaaaa" + strings.Repeat("text", 12) + "\x14" + strings.Repeat("more", 5)
	for _, c := range []struct {
		name string
		rest []string
		want string
	}{
		{
			"a rest in the write of a packet, and a login's length that ends where a write does",
			[]string{middle, "Labcde" + beat + "|", next, data("cccccccc", strings.Repeat("x", 61)) + "|"},
			"device 232 H beatabcd 37\ndevice 269 D bbbbbbbb 35\ndevice 304 D cccccccc 96\n  beatabcd pending\n  bbbbbbbb pending\n  cccccccc pending",
		},
		{
			"a rest whose session ID would be of the packet, and a tail that ends where a write does",
			[]string{middle, "HHbeatabcd" + tok + "|", data("bbbbbbbb", strings.Repeat("x", 66)) + "|"},
			"device 227 H beatabcd 33\ndevice 260 D bbbbbbbb 101\n  beatabcd pending\n  bbbbbbbb pending",
		},
		{
			"a rest that is a write of its own",
			[]string{middle, "Labcdefg|", beat + "|", data("bbbbbbbb", strings.Repeat("x", 79)) + "|"},
			"device 234 H beatabcd 37\ndevice 271 D bbbbbbbb 114\n  beatabcd pending\n  bbbbbbbb pending",
		},
		{
			"text that looks like a login, inside a write",
			[]string{middle, relogin + "stray|", next},
			"device 309 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"byte by byte", append([]string{middle}, append(byByte("Labcdefg"+beat), data("bbbbbbbb", strings.Repeat("x", 79))+"|")...),
			"device 234 H beatabcd 37\ndevice 271 D bbbbbbbb 114\n  beatabcd pending\n  bbbbbbbb pending",
		},
		{
			"a login that is a write of its own",
			[]string{"rest|", relogin + "|", next},
			"device 150 L aaaaaaaa 78\ndevice 228 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"a login right behind it",
			[]string{relogin + "|", next},
			"device 146 L aaaaaaaa 78\ndevice 224 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := in(fromSYN()).gap(0, 50).atOnce(0, c.rest...).close()
			if got, _ = strings.CutPrefix(got, loggedIn); got != gap+c.want {
				t.Errorf("got\n%s\nwant\n%s", got, gap+c.want)
			}
		})
	}
}

// A login is text of any kind but for one byte: from the side that sends none, or with an identifier that is no text, it is none where
// a gap may have taken its start.
func TestNoLoginBehindAGap(t *testing.T) {
	login := func(identifier string) string {
		return "Laaaaaaaa" + strings.Repeat("text", 12) + string(rune(len(identifier))) + identifier + "|"
	}
	for name, c := range map[string]struct {
		dir  int
		rest string
		want string
	}{
		"from the server": {1, login("identifier"), "! capture-gap server 44\nserver 171 C command1 33\n  command1 pending"},
		"not text":        {0, login("identif\x01\x02\x03"), "! capture-gap device 96\ndevice 223 D bbbbbbbb 35\n  bbbbbbbb pending"},
	} {
		t.Run(name, func(t *testing.T) {
			next := [2]string{data("bbbbbbbb", ""), "Ccommand1" + tok}
			got := in(fromSYN()).gap(c.dir, 50).atOnce(c.dir, "rest|", strings.TrimSuffix(c.rest, "|")+"stray|", next[c.dir]+"|").close()
			if got, _ = strings.CutPrefix(got, loggedIn); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What only fits the shape of a packet where a gap ends may be the rest of one: it accuses nobody, unless what follows proves it.
func TestFaintPacketsAccuseNobody(t *testing.T) {
	text := "Oaaaaaaaa" + strings.Repeat("text", 6)
	for _, c := range []struct {
		name string
		talk func(*talk) *talk
		want string
	}{
		{
			"that nobody answers it", func(t *talk) *talk { return t.device(text).wait(31 * time.Second) },
			"device 146 O aaaaaaaa 33\n  aaaaaaaa unanswered",
		},
		{
			"that nobody answers it, and another one with its token follows",
			func(t *talk) *talk { return t.device(text, "Obbbbbbbb"+text[9:]).wait(31 * time.Second) },
			"device 146 O aaaaaaaa 33\ndevice 179 O bbbbbbbb 33\n! no-response device 146\n! no-response device 179\n  aaaaaaaa unanswered\n  bbbbbbbb unanswered",
		},
		{
			"a status of text behind it", func(t *talk) *talk { return t.atOnce(0, text+"|", "Rbbbbbbbb7|", data("cccccccc", "")+"|") },
			"device 146 O aaaaaaaa 33\ndevice 189 D cccccccc 35\n  aaaaaaaa pending\n  cccccccc pending",
		},
		{
			"what only the other side may send behind it", func(t *talk) *talk { return t.atOnce(0, text+"|", "Cbbbbbbbb"+other+"|", data("cccccccc", "")+"|") },
			"device 146 O aaaaaaaa 33\ndevice 212 D cccccccc 35\n  aaaaaaaa pending\n  cccccccc pending",
		},
		{
			"a few bytes behind it", func(t *talk) *talk { return t.atOnce(0, text+"|", "Head|", data("cccccccc", "")+"|") },
			"device 146 O aaaaaaaa 33\ndevice 183 D cccccccc 35\n  aaaaaaaa pending\n  cccccccc pending",
		},
		{
			"the start of one behind it", func(t *talk) *talk { return t.atOnce(0, text+"|", "Hbbbbbbbb"+other[:15]).end(0) },
			"device 146 O aaaaaaaa 33\n  aaaaaaaa pending",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.talk(in(fromSYN()).gap(0, 50)).close()
			want := "! capture-gap device 96\n" + c.want
			if got, _ = strings.CutPrefix(got, loggedIn); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What comes behind a silence is a packet, whatever was passed over before it.
func TestPacketBehindASilence(t *testing.T) {
	const noName = "Lsession2client-client-clientsecret-secret-secretPRODUCT0\x00"
	for _, rest := range [][]string{{"no packet at all"}, {"Oaaaaaaaa" + strings.Repeat("text", 6), "no packet at all"}} {
		if got := in(fromSYN()).gap(0, 50).device(rest...).wait(31 * time.Second).device(noName).close(); !strings.Contains(got, "! empty-identifier") {
			t.Errorf("behind %q: got\n%s", rest, got)
		}
	}
}

// A response to a command that was never captured has no tail that is a row of packets, though one of them starts with a letter that tells
// its length.
func TestRowBehindALostCommand(t *testing.T) {
	row := ""
	for _, id := range []string{"lost0001", "lost0002", "lost0003", "lost0004", "lost0005", "command1"} {
		row += ok(id)
	}
	got := in(fromSYN()).gap(1, 165).server("Ccommand1" + tok).device(row + "Oaaaaaaaa" + tok).wait(2 * time.Second).close()
	want := "! capture-gap server 44\nserver 209 C command1 33\n"
	for i, id := range []string{"lost0001", "lost0002", "lost0003", "lost0004", "lost0005"} {
		want += fmt.Sprintf("device %d R %s 10\n  %s orphan\n", 96+10*i, id, id)
	}
	want += "device 146 R command1 10\n  command1 answered\ndevice 156 O aaaaaaaa 33\n  aaaaaaaa pending"
	if got, _ = strings.CutPrefix(got, loggedIn); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Where a response ends to a command that was never captured is a guess if no write ends there: what seems to stand behind it accuses nobody.
func TestGuessedEndAccusesNobody(t *testing.T) {
	tail := "O" + "aaaaaaaa" + other + "Cbbbbbbbb" + strings.Repeat("text", 6) + "and so on..."
	got := in(fromSYN()).gap(1, 165).piece(0, ok("lost0001")+tail+"Hbeatbeat"+tok[:9]).gap(0, 14).device(data("cccccccc", "")).wait(2 * time.Second).close()
	if strings.Contains(strings.ReplaceAll(got, "! capture-gap", ""), "!") {
		t.Errorf("got\n%s", got)
	}
	if want := "\ndevice 216 D cccccccc 35\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwithout%s", got, want)
	}
}

// What may be the rest of a payload does not tell who is who.
func TestFaintPacketTellsNoSide(t *testing.T) {
	rest := "Caaaaaaaa" + strings.Repeat("text", 6)
	k := newTalk(Options{}, Opening{}).device("rest", rest, data("bbbbbbbb", ""), data("cccccccc", "")).server(ok("bbbbbbbb"), ok("cccccccc"))
	if got := k.close(); !strings.Contains(got, "device 37 D bbbbbbbb 35") || strings.Contains(got, "! wrong-direction") {
		t.Errorf("got\n%s", got)
	}
}

// The session IDs of a command and of a request may end with the letters of a response and of a request: then the tokens behind them look like the
// same session ID.
func TestTokensAreNoSessionIDs(t *testing.T) {
	long := data("second--", "yyHrequestD"+tok+strings.Repeat("y", 100))
	got := in(fromSYN()).device(data("firstone", "x")).piece(0, long[:80]).
		atOnce(1, ok("firstone")+"CcommandR"+tok[:11]).gap(1, 12).atOnce(1, "Ccommand2"+tok+"|").wait(2 * time.Second).device(long[80:]).close()
	if strings.Contains(strings.ReplaceAll(got, "! capture-gap", ""), "!") || !strings.Contains(got, "C command2 33") {
		t.Errorf("got\n%s", got)
	}
}

// A login that stands right behind a gap is one, however long the gap is.
func TestLoginBehindAGapOfAnyLength(t *testing.T) {
	for _, n := range []int64{1, 100, maxWait, maxWait + 1, 1 << 30} {
		got := in(fromSYN()).gap(0, n).device(login, data("bbbbbbbb", "")).close()
		want := fmt.Sprintf("! capture-gap device 96\ndevice %d L session1 61\n", 96+n)
		if got, _ = strings.CutPrefix(got, loggedIn); !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes: got\n%s\nwant\n%s", n, got, want)
		}
	}
}

// Another packet with the token of one that may be none proves it, whichever way that packet goes.
func TestLaterPacketProvesAFaintOne(t *testing.T) {
	for _, o := range []Options{{}, {Thorough: true}} {
		k := newTalk(o, Opening{Opener: true}).device("rest", "Oaaaaaaaa"+other, data("bbbbbbbb", "")).server(ok("bbbbbbbb"))
		k.device(data("cccccccc", "")).server(ok("cccccccc"))
		got := k.device("Ddddddddd" + other + "\x00\x00").server(ok("dddddddd")).wait(31 * time.Second).close()
		if !strings.HasSuffix(got, "! no-response device 4\n  aaaaaaaa unanswered") || k.d.short == 0 && !o.Thorough {
			t.Errorf("%+v: %d went the short way; got\n%s", o, k.d.short, got)
		}
	}
}

// Text that looks like a login is none beyond doubt right behind a gap: it may be the rest of a payload.
func TestLoginBehindAGapIsNotSure(t *testing.T) {
	packet := data("aaaaaaaa", strings.Repeat("x", 75)+login)
	end := len(packet) - len(login)
	got := in(fromSYN()).piece(0, packet[:60]).gap(0, int64(end-60)).device(packet[end:]).close()
	if want := fmt.Sprintf("device 96 D aaaaaaaa %d missing %d\n", len(packet), end-60); !strings.Contains(got, want) || strings.Contains(got, " L session1 61\n  ") {
		t.Errorf("inside a packet: got\n%s", got)
	}
	nameless := login[:57] + "\x00"
	if got := in(fromSYN()).gap(0, 300).device(nameless).wait(2 * time.Second).close(); strings.Contains(got, "empty-identifier") {
		t.Errorf("behind packets: got\n%s", got)
	}
}

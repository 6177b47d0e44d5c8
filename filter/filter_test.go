package filter

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var fields = []Field{
	{Name: "x"},
	{Name: "x.rule"},
	{Name: "x.text", Kind: Text},
	{Name: "x.bytes", Kind: Bytes},
	{Name: "x.n", Kind: Number, Max: 255, Labels: map[string]uint64{"one": 1}},
	{Name: "x.yes", Kind: Truth},
	{Name: "x.time", Kind: Seconds},
	{Name: "x.ip", Kind: Address},
	{Name: "x.all", Kind: Proto},
	{Name: "x.none", Kind: Number},
	{Name: "x.m", Kind: Number},
}

type record map[string][]Value

func (r record) Values(field int, to []Value) []Value { return append(to, r[fields[field].Name]...) }

var sample = record{
	"x": {{}}, "x.text": {{Bytes: []byte("Temp 온도")}, {Bytes: []byte("a\\b")}}, "x.bytes": {{Bytes: []byte{0x7b, 0xe5, 0x00, 0x22}}}, "x.n": {{Num: 1}, {Num: 10}},
	"x.yes": {{Num: 1}}, "x.time": {{Num: -500_000_000}}, "x.ip": {{Addr: netip.MustParseAddr("10.1.2.3")}}, "x.all": {{Bytes: []byte("whole")}},
	"x.m": {{Num: 1}},
}

func TestMatch(t *testing.T) {
	for expr, want := range map[string]bool{
		"": true, "  ": true, "x": true, "x.rule": false, "not x.rule": true, "!x.rule": true, "! ! x": true,
		"x.text == \"a\\\\b\"": true, `x.text == r"a\b"`: true, "x.text == a": false, "x.text contains Temp": true, "x.text contains temp": false,
		`x.text matches "^temp"`: true, `x.text matches "온"`: true, `x.text matches "p .{6}$"`: true, `x.text matches "p ..$"`: false,
		"x.text contains \"\\xec\\x98\"": true,
		// Several values: some, or all.
		"x.n == 1": true, "x.n === 1": false, "x.n != 1": false, "x.n != 2": true, "x.n ~= 1": true, "x.n !== 1": true, "x.n ~= 2": true,
		"x.n > 9": true, "x.n < 1": false, "x.n >= 10": true, "x.n le 1": true, "x.n == one": true, `x.n == "one"`: true, "x.n == 0x0a": true, "x.n == 012": true,
		`x.n == '\n'`: true, "x.n in {2..9}": false, "x.n in {2..9, 10}": true, "x.n in {9..2}": false, "x.n not in {3}": true, "x.n in {0x0a}": true,
		// What is not there fits no comparison.
		"x.none == 1": false, "x.none != 1": false, "not x.none == 1": true, "x.none not in {1}": false, "not x.none in {1}": true, "x.none": false,
		"x.bytes == 7b:e5:00:22": true, "x.bytes == 7be50022": true, "x.bytes contains 7b-e5": true, "x.bytes contains e5.00": true, "x.bytes contains 0": true,
		`x.bytes contains "{"`: true, `x.bytes matches "\xe5\x00"`: true, `x.bytes matches "\\xe5."`: true, `x.bytes matches "[é]"`: false, `x.bytes matches "\xc5"`: false,
		"x.yes": true, "x.yes == 1": true, "x.yes == True": true, "x.yes == 2": true, "x.yes == false": false,
		"x.time == -0.5": true, "x.time < 0": true, "x.time in {-1..0}": true, "x.time > -0.499999999": false,
		"x.ip == 10.1.2.3": true, "x.ip == 10.0.0.0/8": true, "x.ip != 10.0.0.0/8": false, "x.ip in {10.1.2.0..10.1.2.9}": true, "x.ip in {11.0.0.0/8}": false,
		"x.ip < 10.1.2.4": true, "x.ip == ::1": false, "x.ip in {9.9.9.9, 10.1.0.0/16}": true,
		"x.all contains \"hole\"": true, `x.all matches "^WH"`: true, "x.all": true,
		"x.n == x.m": true, "x.n != x.m": false, "x.n > x.m": true, "x.n < x.m": false, "x.none == x.m": false,
		// Slices are of bytes, of a text of characters, and end where one part does not fit.
		"x.bytes[0] == 7b": true, "x.bytes[0:2] == 7b:e5": true, "x.bytes[1-2] == e5:00": true, "x.bytes[:1] == 0x7b": true, "x.bytes[-1:] == \"\\\"\"": true,
		"x.bytes[ -3 : 2 ] == e5:00": true, "x.bytes[0,-1,0x1:01] == 7b:22:e5": true, "x.bytes[0,9,0] == 7b": true, "x.bytes[9]": false, "x.bytes[9] == \"\"": true,
		"x.bytes[2]": true, "x.bytes[4:]": false, "x.bytes[:] == 7b:e5:00:22": true, "x.bytes[1:][0] == e5": true, "x.bytes[-9:]": false, "x.bytes[-1:2]": false,
		"x.text[-2:] == \"온도\"": true, "x.text[0:4] == Temp": true, "x.text[5] == \"온\"": true, "x.text[0] == \"a\"": true, "x.ip[0] == :0a": true, "x.all[-1] == \"e\"": true,
		"x.bytes[0] != x.bytes[1]": true, "x.none and x.bytes[0]": false, "x.bytes[1] > 7f": true, "x.bytes > 7b": true, "x.bytes < 7c": true, "x.all < \"zz\"": false,
		"x.bytes in {7b..7c}": true,
		"len(x.bytes) == 4":   true, "len(x.text) == 7": true, "len(x.text) == 3": true, "len(x.ip) == 4": true, "len(x.bytes[1:]) == 3": true, "len(x.text)": true, "len(x.bytes[4:])": false,
		"count(x.n) == 2": true, "count(x.none) == 0": true, "count(x.none)": false, "count(x) == 1": true, "lower(x.text) contains \"temp 온\"": true, "upper(x.text) contains \"TEMP 온\"": true,
		"upper(x.text)[0:4] == TEMP": true, "string(x.n) == \"10\"": true, "string(x.ip) matches \"^10[.]\"": true, "vals(x.n) == \"one\"": true, "abs(x.time) == 0.5": true,
		"max(x.n) == 10": true, "min(x.n) == 1": true, "max(x.none, x.n, 200) == 200": true, "max(x.none)": false, "min(x.n, x.m) == 1": true, "max(x.text) contains Temp": false,
		"any x.n != 1": true, "all x.n == 1": false, "all x.n in {1, 10}": true, "all x.n in {1}": false, "all x.n >= 1": true, "any x.n === 1": true, "all x.none == 1": false,
		"all x.n not in {1}": true, "any x.n not in {1}": false, "not any x.n == 2": true, "all len(x.text) > 2": true, "any x.text contains Temp": true, "all x.text contains Temp": false,
		"x.n & 2": true, "x.n & 4": false, "x.n & 2 == 2": true, "x.n & 3 & 1 == 1": true, "x.n & x.m == 1": true, "all x.n&0xf0 == 0": true, "x.n bitwise_and 8": true, "x.n bitand 8": true,
		"x.bytes[0:2] & 0f:f0 == 0b:e0": true, "x.bytes[2] & 0xff": false, "x.bytes & :01 == 0x01": true, "x.ip & 255.0.0.0 == 10.0.0.0": true, "x.ip & 0.8.0.0": false, "x.n == x.n & 0xff": true,
		"not x.n & 4 and x": true, "x.n > -1": true, "x.n == - 1": false, "x.n in {-5..1}": true, "x.n < -1": false, "x.n == +1": true, "x.n == -0": false, "x.time == - 0.5": true,
		// and binds tighter than or, not tighter than and.
		"x or x.rule and x.rule": true, "(x or x.rule) and x.rule": false, "not x.rule and x.rule": false, "not (x.rule and x.rule)": true,
		"x and not x.rule or x.rule": true, "x&&!x.rule||x.rule": true,
	} {
		f, err := Compile(expr, fields)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := f.Match(sample); got != want {
			t.Errorf("%s: %v", expr, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	for expr, want := range map[string]string{
		"x.tex == 1":                     `column 1: "x.tex" is not a field; the nearest is x.text`,
		"x and x.btyes":                  `column 7: "x.btyes" is not a field; the nearest is x.bytes`,
		"x.text contains \"온\" and x.nn": `column 25: "x.nn" is not a field; the nearest is x.n`,
		"x.n = 1":                        "column 5: = is written ==",
		"x.n ==":                         "column 7: the filter ends where a value should stand",
		"x.n == 256":                     "column 8: x.n is at most 255",
		"x.n == two":                     "column 8: x.n takes a number",
		`x.n == "two"`:                   `column 8: "two" is none of the names that x.n has`,
		"x.n contains 1":                 "column 5: contains does not fit x.n, which is a number",
		"x.rule == 1":                    "column 8: x.rule has no value: it is there or not",
		"x.time > 1e3":                   "column 10: x.time takes a time in seconds such as 0.5",
		"x.time > 99999999999":           "column 10: 99999999999 is too long a time",
		"x.ip == 10.0.0":                 "column 9: x.ip takes an IP address, or a network such as 10.0.0.0/8",
		"x.bytes == zz":                  `column 12: "zz" is neither bytes such as 7b:22 nor a text in quotes`,
		"x.all contains hole":            `column 16: "hole" is neither bytes such as 7b:22 nor a text in quotes`,
		`x.text matches "("`:             "column 16: the pattern is not valid: missing closing ): `(?i)(`",
		"x.text matches a":               `column 16: a pattern stands in quotes: "a"`,
		"x.text matches x.text":          "column 16: matches needs a pattern in quotes on its right",
		"x.n in 1":                       `column 8: "1" stands where { should`,
		"x.n in {}":                      `column 9: "}" stands where a value should`,
		"x.n in {1 2}":                   `column 11: "2" stands where , or } should`,
		"x.n in {x.m}":                   "column 9: a set holds values, not fields",
		"x.n in {1..}":                   `column 12: "}" stands where a value should`,
		"x.yes in {0..1}":                "column 11: a range needs an order; x.yes has none",
		"(x":                             "column 1: the bracket is not closed",
		"x)":                             `column 2: ")" stands where and, or, or the end of the filter should`,
		"x x":                            `column 3: "x" stands where and, or, or the end of the filter should`,
		"x &&":                           "column 5: the filter ends where a field should stand",
		"x AND x":                        "column 3: AND is written in small letters",
		`x.text == "a`:                   "column 11: the text has no closing quote",
		`x.text == "\q"`:                 `column 12: this escape is none of \" \\ \a \b \f \n \r \t \v \xHH \NNN \uHHHH; write \\ for a backslash, or r"..."`,
		"x.text == “a”":                  `column 11: a text stands between straight quotes: "`,
		"x.text == 'ab'":                 `column 11: one character stands between single quotes; a text stands between double ones: "`,
		"1 == x.n":                       `column 1: "1" is not a field; the nearest is x`,
		`"a" == x.text`:                  "column 1: a field stands on the left, not a text",
		"1 < x.n":                        `column 1: "1" is not a field; the nearest is x`,
		"x.n < 5 < 6":                    "column 9: comparisons are not chained here: join two with and",
		"x.n == x.text":                  "column 8: x.n and x.text are of different kinds",
		"x.bytes[0":                      "column 8: the bracket is not closed",
		"x.bytes[]":                      "column 9: a slice is written [i], [i:length], [i-j], [:length], [i:], or several with commas",
		"x.bytes[0,1e1]":                 "column 11: a slice is written [i], [i:length], [i-j], [:length], [i:], or several with commas",
		"x.bytes[0:0]":                   "column 9: a slice has at least one byte: behind the colon stands its length",
		"x.bytes[1, 2-2]":                "column 11: a slice ends behind its start, and both are counted from the same end",
		"x.bytes[0--1]":                  "column 9: a slice ends behind its start, and both are counted from the same end",
		"x.bytes[99999999999]":           "column 9: 99999999999 is no place in a packet",
		"x.n[0] == 1":                    "column 4: x.n cannot be sliced",
		"x.bites[0] == 1":                `column 1: "x.bites" is not a field; the nearest is x.bytes`,
		`"abc"[0] == 1`:                  "column 1: a field stands on the left, not a text",
		"x.text[0] == 7":                 `column 14: write a text in quotes: "7"`,
		"x.bytes[0] == 22":               "column 15: versions of Wireshark differ in what 22 is: write a byte as 0x2a, several with colons",
		"x.bytes[0] in {7b}":             "column 12: only a field is looked up in a set: join comparisons with or",
		"leng(x.text) == 1":              `column 1: "leng" is not a function; the nearest is len`,
		"len(x.txet) == 1":               `column 5: "x.txet" is not a field; the nearest is x.text`,
		`len("a") == 1`:                  "column 5: len needs a field here",
		"len() == 1":                     `column 5: ")" stands where a field should`,
		"len(x.text, x.n) == 1":          "column 13: len takes one value",
		"len(x.n) == 1":                  "column 5: len does not take x.n",
		"len(x.text == 1":                `column 12: "==" stands where , or ) should`,
		"len(x.text) == a":               "column 16: len(x.text) takes a number",
		"lower(x.bytes) == a":            "column 7: lower does not take x.bytes",
		"string(x.time) == a":            "column 8: string does not take x.time",
		"vals(x.m) == a":                 "column 6: vals does not take x.m",
		"max(x.n, x.text) == 1":          "column 10: x.n and x.text are of different kinds",
		"max(x.rule) == 1":               "column 5: max does not take x.rule",
		"max(x.n, 256) == 1":             "column 10: x.n is at most 255",
		"count(x.text[0]) == 1":          "column 7: count does not take x.text[0]",
		"any x":                          "column 6: the filter ends where a comparison should stand",
		"all (x)":                        `column 5: "(" stands where a field should`,
		"x.text & 1":                     "column 8: a mask does not fit x.text",
		"x.n & 256":                      "column 7: x.n is at most 255",
		"x.n & one":                      "column 7: x.n takes a number",
		"x.n & 1 in {1}":                 "column 9: only a field is looked up in a set: join comparisons with or",
		"x.bytes & :01 contains 7b":      "column 15: contains does not fit a mask",
		"1 & x.n":                        "column 3: a mask stands behind a field",
		"x.n &":                          "column 6: the filter ends where a mask should stand",
		"x.n - 1 == 2":                   "column 5: arithmetic is not supported here",
		"x.n == -x.m":                    "column 8: x.n takes a number",
		"x.n == --1":                     "column 8: x.n takes a number",
		"x.n == -256":                    "column 8: x.n is at most 255",
		"x.text == -a":                   "column 11: x.text takes a text",
		"x.time > -.5":                   "column 10: x.time takes a time in seconds such as 0.5",
		"x.yes == -1":                    "column 10: x.yes takes true or false",
		strings.Repeat("len(", 300):      "column 800: more than 200 brackets and negations stand in each other",
		"and":                            `column 1: "and" stands where a field should`,
		strings.Repeat("(", 300):         "column 201: more than 200 brackets and negations stand in each other",
		strings.Repeat("x or ", 20000):   "column 65537: the filter is longer than 65536 bytes",
	} {
		_, err := Compile(expr, fields)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.40s: %v", expr, err)
			continue
		}
		if e.Error() != want {
			t.Errorf("%.40s:\n got %s\nwant %s", expr, e, want)
		}
	}
}

func TestUses(t *testing.T) {
	f, err := Compile("x.n == 1 or x.text in {a} or not x.ip", fields)
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for i := range fields {
		if f.Uses(i) {
			used = append(used, fields[i].Name)
		}
	}
	if want := []string{"x.text", "x.n", "x.ip"}; !slices.Equal(used, want) {
		t.Errorf("uses %v, want %v", used, want)
	}
}

// Whatever the expression, it compiles or is refused at a place within it, and matching does not fail.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`x.type == "D" && x.time > 0.5`, `x.n in {1..5, 7} or not (x.ip == 10.0.0.0/8)`, `x.bytes contains 7b:22 and x.text matches "^\d+\xec"`,
		`x.text == r"\"`, `x.n == '\x41'`, `x.text === "온도\u00e9\012"`, "x.n !== x.m", "x &", "x.n in {1..", "((((x", `"`, "x.text ~ \"(?P<a>.*)\"", "x.none not in {0x10}",
		`x.bytes[0:2,-1] & ff:0f == 7b:05`, `any len(lower(x.text)[1-3]) > -1`, "all x.n & 3 & x.m === - 1", "max(x.n, count(x.m), 5) < 9", "x.ip[:2][0] == 0x0a", "vals(x.n) == one",
		"x.text[0", "len(", "x.n &", "abs(x.time) > -0.5", "string(x.ip) matches \"^1\"", "x.all[3:] > \"l\"", "min(x.text, \"b\") contains a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := Compile(expr, fields)
		if err == nil {
			if a, b := c.Match(sample), c.Match(sample); a != b {
				t.Errorf("%q fits now and then", expr)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.At < 0 || e.At > len(expr) || e.Column < 1 || e.Column > len(expr)+1 || e.Text == "" {
			t.Errorf("%q: %#v", expr, err)
		}
	})
}

package sanitize

import (
	"bytes"
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/nubishark/nubishark/capture"
)

var flips = flag.Int("flips", 50, "captures with changed bytes to sanitize")

// Hardly a capture with bytes flipped is refused.
func TestFlipped(t *testing.T) {
	whole, err := os.ReadFile("../testdata/session.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	refused := 0
	for i := range *flips {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(20) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		open := func() (capture.Source, error) { return capture.NewReader(bytes.NewReader(b), "flipped") }
		if src, err := open(); err != nil || src.Close() != nil {
			continue // no capture any more
		}
		if _, _, err := File(context.Background(), open, Options{}, false); err != nil {
			refused++
			t.Logf("%d: %v", i, err)
		}
	}
	if refused > 1+*flips/1000 {
		t.Errorf("%d of %d are refused", refused, *flips)
	}
}

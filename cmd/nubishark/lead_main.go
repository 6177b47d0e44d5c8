// Command nubishark analyses captures of the NUBISON IoT TCP protocol.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/export"
)

func main() {
	show := false
	var files []string
	for i := 2; i < len(os.Args); i++ {
		switch a := os.Args[i]; a {
		case "--show-secrets":
			show = true
		case "-T":
			i++
		default:
			files = append(files, a)
		}
	}
	src, err := capture.Open(files...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nubishark:", err)
		os.Exit(1)
	}
	w := bufio.NewWriterSize(os.Stdout, 1<<18)
	n := &export.NDJSON{W: w, ShowSecrets: show}
	res, err := analyze.Run(src, analyze.Options{}, n)
	n.Summary(res.Packets, res.TCPStreams, res.NubisonStreams)
	w.Flush() //nolint:errcheck // nothing is left to do
	if err != nil {
		fmt.Fprintln(os.Stderr, "nubishark:", err)
		os.Exit(1)
	}
}

// Command nubishark reads captures of the NUBISON IoT TCP protocol and says what is wrong in
// them, and whose fault it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	statusOK    = 0
	statusInput = 1 // the input could not be read, or not to its end; or the output not written
	statusUsage = 2
	statusFound = 3 // --fail-on found a violation
)

// failure is an error with its own exit status.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}

// errFound tells by its status alone that --fail-on found something: the output says what.
var errFound = &failure{statusFound, nil}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return statusOK
	}
	var f *failure
	if !errors.As(err, &f) { // cobra's own: a flag or an argument that does not fit
		f = &failure{statusUsage, err}
	}
	if f.err != nil {
		fmt.Fprintf(errs, "nubishark: %v\n", f.err)
		if f.status == statusUsage {
			fmt.Fprintf(errs, "see: %s --help\n", cmd.CommandPath())
		}
	}
	return f.status
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "nubishark",
		Short: "Packet analyzer for the NUBISON IoT TCP protocol",
		Long: `nubishark reads captures of the NUBISON IoT TCP protocol, and answers one question:
is it the device, the server, the network, or the capture?`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newInterfaces(), newLua(), newViolations(), newVersion(), newRead())
	for _, c := range []*cobra.Command{newLive(), newDiff(), newSanitize(), newSimulate(), newFollow()} {
		c.PersistentPreRun = func(*cobra.Command, []string) { prepareHeap() }
		root.AddCommand(c)
	}
	return root
}

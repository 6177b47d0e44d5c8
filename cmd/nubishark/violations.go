package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/protocol"
)

func newViolations() *cobra.Command {
	var ids []string
	for _, r := range protocol.Rules {
		ids = append(ids, r.ID)
	}
	return &cobra.Command{
		Use:       "violations [ID]",
		Short:     "What each violation means, an example, and what to do",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: ids,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := (&analysis{color: "never"}).terminal(cmd)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return export.WriteCatalogue(cmd.OutOrStdout(), t.width)
			}
			r := protocol.RuleByID(args[0])
			if r == nil {
				return failed(statusUsage, "no violation is called %q; there are: %s", args[0], strings.Join(ids, ", "))
			}
			return export.WriteRule(cmd.OutOrStdout(), r, t.width)
		},
	}
}

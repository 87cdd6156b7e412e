package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/rules"
)

func newRuleTemplate(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Rules to begin from, each with a story that shows it fire and not fire",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	story := false
	show := &cobra.Command{
		Use:   "show NAME",
		Short: "Print the manifest of a template, to be edited and applied",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := examples.RuleTemplates()
			if err != nil {
				return err
			}
			text, ok := all[args[0]]
			if !ok {
				return usageError{fmt.Errorf("there is no template %q; there are %s", args[0], strings.Join(slices.Sorted(maps.Keys(all)), ", "))}
			}
			if !story {
				told, err := rules.ReadStory(args[0], text, os.ReadFile)
				if err != nil {
					return err
				}
				text = []byte(told.File("rule.yaml"))
			}
			_, err = s.out.Write(text)
			return err
		},
	}
	show.Flags().BoolVar(&story, "story", false, "print the whole story, for tocsin rule test")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the templates",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := examples.RuleTemplates()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tWHAT IT DOES")
			for _, name := range slices.Sorted(maps.Keys(all)) {
				told, err := rules.ReadStory(name, all[name], os.ReadFile)
				if err != nil {
					return err
				}
				fmt.Fprintf(table, "%s\t%s\n", name, told.About())
			}
			return table.Flush()
		},
	}
	cmd.AddCommand(list, show)
	return cmd
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

func newEpisode(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "episode",
		Short: "List and acknowledge what rules have fired for and is not over",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEpisodeList(s), newEpisodeAck(s), newEpisodeUnack(s))
	return cmd
}

func acknowledgementURL(episode string) string {
	return "/api/v1/episodes/" + url.PathEscape(episode) + "/acknowledgement"
}

func newEpisodeList(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the episodes that fired and are not closed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var page wire.Page[wire.Episode]
			if err := c.do(cmd.Context(), http.MethodGet, "/api/v1/episodes", "", nil, &page); err != nil {
				return err
			}
			return printEpisodes(s.out, page.Items)
		},
	}
	f.add(cmd)
	return cmd
}

func printEpisodes(out io.Writer, episodes []wire.Episode) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EPISODE\tRULE\tABOUT\tFIRED\tLAST\tACKNOWLEDGED")
	for _, e := range episodes {
		var about []string
		for _, subject := range e.Subjects {
			about = append(about, subject.ID)
		}
		ack := "-"
		if a := e.Acknowledged; a != nil {
			ack = strings.TrimPrefix(a.String(), "acknowledged ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", cell(e.Episode), e.Rule, cell(strings.Join(about, ",")), e.Fired, instant(e.LastAt), cell(ack))
	}
	return table.Flush()
}

func newEpisodeAck(s streams) *cobra.Command {
	var f serverFlags
	var comment string
	cmd := &cobra.Command{
		Use:   "ack EPISODE",
		Short: "Take care of an episode: it fires no more until it is over, and its recovery is told",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			body, err := json.Marshal(wire.Acknowledge{Comment: comment})
			if err != nil {
				return fmt.Errorf("write the acknowledgement: %w", err)
			}
			var a core.Acknowledgement
			if err := c.do(cmd.Context(), http.MethodPut, acknowledgementURL(args[0]), "application/json", strings.NewReader(string(body)), &a); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s %s\n", args[0], printable(a.String()))
			return nil
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "what is being done")
	f.add(cmd)
	return cmd
}

func newEpisodeUnack(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "unack EPISODE",
		Short: "Take an acknowledgement back: the episode fires again as its rule says",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.do(cmd.Context(), http.MethodDelete, acknowledgementURL(args[0]), "", nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s is not acknowledged any more\n", args[0])
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/rules/action"
)

// testChannel sends a message to a channel at once.
func (a *app) testChannel(ctx context.Context, id, by string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	key := "test~" + rand.Text()
	err := a.notify.Send(ctx, id, action.Message{
		Title: "Test of the channel " + id, Body: "Sent by " + by + ". Messages of rules will look like this.", Status: action.Test, Severity: "info",
		Episode: key, Key: key, At: time.Now(),
	})
	if err != nil {
		return errors.New(a.mask(err.Error()))
	}
	return nil
}

func newChannel(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "channel",
		Short: "Try the channels that rules notify",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var f serverFlags
	test := &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send a test message to a channel, and wait until it is taken",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/channels/"+url.PathEscape(args[0])+"/test", "", nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s took the message\n", args[0])
			return nil
		},
	}
	f.add(test)
	cmd.AddCommand(test)
	return cmd
}

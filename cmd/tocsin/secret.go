package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core/secret"
)

func newSecret(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Set, list and delete secrets of a server", Args: cobra.NoArgs}
	cmd.RunE = func(*cobra.Command, []string) error {
		return usageError{fmt.Errorf("secret: write set, list or delete")}
	}
	var f serverFlags
	set := &cobra.Command{
		Use:   "set NAME",
		Short: "Store a value, read from standard input, sealed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := io.ReadAll(io.LimitReader(s.in, secret.MaxValue+2))
			if err != nil {
				return fmt.Errorf("read the value: %w", err)
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			body, err := json.Marshal(map[string]string{"value": strings.TrimRight(string(value), "\r\n")})
			if err != nil {
				return fmt.Errorf("send the value: %w", err)
			}
			if err := c.do(cmd.Context(), http.MethodPut, "/api/v1/secrets/"+url.PathEscape(args[0]), "application/json", strings.NewReader(string(body)), nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "secret %s set\n", args[0])
			return nil
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the names of secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var names struct{ Names []string }
			if err := c.do(cmd.Context(), http.MethodGet, "/api/v1/secrets", "", nil, &names); err != nil {
				return err
			}
			for _, name := range names.Names {
				fmt.Fprintln(s.out, name)
			}
			return nil
		},
	}
	del := &cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a secret",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.do(cmd.Context(), http.MethodDelete, "/api/v1/secrets/"+url.PathEscape(args[0]), "", nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "secret %s deleted\n", args[0])
			return nil
		},
	}
	for _, sub := range []*cobra.Command{set, list, del} {
		f.add(sub)
		cmd.AddCommand(sub)
	}
	return cmd
}

func newLoginLink(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "login-link",
		Short: "Print a link that signs an administrator in once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var link struct{ Link string }
			if err := c.do(cmd.Context(), http.MethodPost, "/api/v1/login-links", "", nil, &link); err != nil {
				return err
			}
			fmt.Fprintln(s.out, c.base+"/login?link="+link.Link)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

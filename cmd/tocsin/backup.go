package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core/store/sqlite"
)

const keyFile = "secret.key"

func newBackup(s streams) *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database of a data directory, also while it is in use",
		Long: `Writes a whole, examined copy of the database to a file, as it is at one instant.
A server that uses the database goes on meanwhile. A file that is there already
is not overwritten. The key that secrets are sealed with is not in the copy.

A Postgres is backed up with its own tools, see docs/operating.md.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			if p.database != "" {
				return fmt.Errorf("a Postgres is backed up with its own tools, such as\n  pg_dump --format=custom --file=%s %q\nTo write what is in it to a file that any database of tocsin can be made of, use 'tocsin export'", args[0], p)
			}
			if err := sqlite.Backup(cmd.Context(), p.data, args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "backed up %s to %s: %d bytes, examined\n", p, args[0], info.Size())
			fmt.Fprintf(s.out, "keep a copy of %s apart from it: without that key the secrets in it cannot be opened\n", filepath.Join(p.data, keyFile))
			return nil
		},
	}
	p.add(cmd)
	return cmd
}

func newRestore(s streams) *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a copy that backup made into a data directory",
		Long: `Examines a copy that 'tocsin backup' made and puts it into a data directory that
has no database. Nothing is overwritten.

A Postgres is restored with its own tools, see docs/operating.md.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			if p.database != "" {
				return fmt.Errorf("a Postgres is restored with its own tools, such as\n  pg_restore --exit-on-error --no-owner --dbname=%q %s", p, args[0])
			}
			if err := sqlite.Restore(cmd.Context(), args[0], p.data); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "restored %s to %s\n", args[0], p)
			if key := filepath.Join(p.data, keyFile); !exists(key) {
				fmt.Fprintf(s.out, "put the key that belongs to it at %s before you start 'tocsin serve': without it the secrets in it cannot be opened\n", key)
			}
			return nil
		},
	}
	p.add(cmd)
	return cmd
}

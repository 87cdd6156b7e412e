package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core/store/archive"
)

func newExport(s streams) *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write everything in a database to a file, for any database",
		Long: `Writes everything that the database holds, as it is at one instant, to a file
that 'tocsin import' makes a database of, of the same kind or another: what people
wrote, modules, access, health, runs, history, and how far the rules are. Servers
that use the database go on meanwhile. FILE is - for standard output.

Secrets are in it as they are stored, sealed: they need the same secret.key.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			rows, err := exportTo(cmd.Context(), p, args[0], s.out)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "exported %d rows of %s\n", rows, p)
			return nil
		},
	}
	p.add(cmd)
	return cmd
}

// exportTo writes an archive of p to a file, or to out when that is "-".
func exportTo(ctx context.Context, p place, file string, out io.Writer) (rows int64, err error) {
	if file == "-" {
		return writeArchive(ctx, out, p.dump)
	}
	return rows, archive.Create(file, func(part string) error {
		f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // beside the file that the operator named
		if err != nil {
			return err
		}
		rows, err = writeArchive(ctx, f, p.dump)
		return errors.Join(err, f.Close())
	})
}

func writeArchive(ctx context.Context, out io.Writer, dump func(context.Context, archive.Rows) error) (rows int64, err error) {
	w, err := archive.NewWriter(out, build(), time.Now())
	if err != nil {
		return 0, err
	}
	if err := dump(ctx, w); err != nil {
		return 0, err
	}
	return w.Rows(), w.Close()
}

func newImport(s streams) *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a database of a file that export wrote",
		Long: `Fills an empty database with everything that 'tocsin export' wrote, in one
transaction: all of it or nothing. What was written is read again and compared
with the file before it counts. FILE is - for standard input.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			in := s.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close() //nolint:errcheck // it is only read
				in = f
			}
			r, err := p.fill(cmd.Context(), in)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			fmt.Fprintf(s.out, "imported %d rows, exported by tocsin %s on %s, and compared them\n", r.Rows(), printable(r.Header.Release), r.Header.Made.Format(time.RFC3339))
			afterFill(s.out, r, p)
			return nil
		},
	}
	p.add(cmd)
	return cmd
}

// afterFill says what is left to do.
func afterFill(out io.Writer, r *archive.Reader, p place) {
	if n := r.Changed(); n > 0 {
		fmt.Fprintf(out, "%d texts held what Postgres cannot store (the character NUL, or bytes that are not UTF-8): a mark stands in its place\n", n)
	}
	where := "into the data directory of each server"
	if p.database == "" {
		if key := filepath.Join(p.data, keyFile); exists(key) {
			return
		}
		where = "into " + p.data
	}
	fmt.Fprintf(out, "put the %s of the old server %s before you start 'tocsin serve': without it secrets cannot be opened\n", keyFile, where)
}

func newMigrate(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "Move everything from one database to another",
		Long: `Copies everything from one database into another one, which must be empty: what
export and import do, without a file between. FROM and TO are each a data directory
or the address of a Postgres. No server may use either. FROM stays as it is.

To bring a database up to this release nothing is needed: 'tocsin serve' does it.`,
		Example: "  tocsin migrate tocsin-data postgres://tocsin@db/tocsin",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := placeOf(args[0]), placeOf(args[1])
			r, err := migrate(cmd.Context(), from, to)
			if err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			fmt.Fprintf(s.out, "moved %d rows from %s to %s, and compared them\n", r.Rows(), from, to)
			afterFill(s.out, r, to)
			return nil
		},
	}
}

// migrate fills to with what from holds.
func migrate(ctx context.Context, from, to place) (*archive.Reader, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pipe, in := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		_, err := writeArchive(ctx, in, from.dumpIdle)
		wrote <- err
		in.CloseWithError(err)
	}()
	r, err := to.fill(ctx, pipe)
	pipe.CloseWithError(errStopped) //nolint:gosec // it never fails
	if dumped := <-wrote; dumped != nil && !errors.Is(dumped, errStopped) {
		return nil, dumped // which is why the other end failed
	}
	return r, err
}

// errStopped is what the writing end is told when the reading end has failed.
var errStopped = errors.New("the other database took no more")

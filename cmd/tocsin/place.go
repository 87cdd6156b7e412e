package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core/store/archive"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
)

// place is where everything is kept: a Postgres, or without one the file in a
// data directory.
type place struct{ data, database string } //nolint:recvcheck // flags are written into it

// databaseVariable is for what a command line would show to other users of the
// machine.
const databaseVariable = "TOCSIN_DATABASE"

// add adds the flags that name the place.
func (p *place) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.data, "data", defaultData, "data directory")
	cmd.Flags().StringVar(&p.database, "database", os.Getenv(databaseVariable), "Postgres that everything is kept in instead of the data directory, for example postgres://tocsin@db/tocsin (or "+databaseVariable+")")
	cmd.Flags().Lookup("database").DefValue = "" // not into the help
}

// placeOf is the place that an argument names.
func placeOf(text string) place {
	if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") {
		return place{database: text}
	}
	return place{data: text}
}

// check refuses a database that cannot be meant. It does not say which: the
// address may hold a password.
func (p place) check() error {
	if p.database == "" || placeOf(p.database).database != "" {
		return nil
	}
	return usageError{errors.New("--database: write postgres://user@host/database")}
}

// String is the place without a password.
func (p place) String() string {
	if p.database == "" {
		return p.data
	}
	if u, err := url.Parse(p.database); err == nil {
		return u.Redacted()
	}
	return "the database"
}

// dump gives into every row, as of one instant.
func (p place) dump(ctx context.Context, into archive.Rows) error {
	if p.database != "" {
		return postgres.Dump(ctx, p.database, into)
	}
	return sqlite.Dump(ctx, p.data, into)
}

// dumpIdle is dump of a place that no process uses.
func (p place) dumpIdle(ctx context.Context, into archive.Rows) error {
	if p.database != "" {
		return postgres.DumpIdle(ctx, p.database, into)
	}
	claim, err := sqlite.Claim(p.data)
	if err != nil {
		return err
	}
	return errors.Join(sqlite.Dump(ctx, p.data, into), claim.Close())
}

// fill makes the place of an archive; it must be empty.
func (p place) fill(ctx context.Context, from io.Reader) (*archive.Reader, error) {
	r, err := archive.NewReader(from)
	if err != nil {
		return nil, err
	}
	if p.database != "" {
		return r, postgres.Fill(ctx, p.database, r)
	}
	return r, sqlite.Fill(ctx, p.data, r)
}

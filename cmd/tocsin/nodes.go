package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/wire"
)

func newNodes(s streams) *cobra.Command {
	var f serverFlags
	var output string
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the processes that share a database, and what each of them does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("-o %q: write table or json", output)}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			var page wire.Page[core.Node]
			if err := c.do(cmd.Context(), http.MethodGet, "/api/v1/nodes", "", nil, &page); err != nil {
				return err
			}
			return showNodes(s.out, page.Items, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	f.add(cmd)
	return cmd
}

func showNodes(out io.Writer, nodes []core.Node, output string) error {
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(nodes)
	}
	if len(nodes) == 0 {
		_, err := fmt.Fprintln(out, "this process has a database of its own and does everything")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tALIVE\tSHARDS\tRULES\tTASKS\tLATE P99\tUNSTORED\tDROPPED\tFOREIGN\tCLOCK\tVERSION")
	for _, n := range nodes {
		ms := func(v float64) string {
			return time.Duration(v * float64(time.Millisecond)).Round(time.Microsecond).String()
		}
		alive := "yes"
		if !n.Alive {
			alive = "no, since " + n.Expires.Format(time.RFC3339)
		}
		fmt.Fprintln(table, printable(fmt.Sprintf("%s\t%s\t%d\t%t\t%d\t%s\t%d\t%d\t%d\t%s\t%s", n.Name, alive, len(n.Shards), n.Rules, n.Report.Tasks,
			ms(n.Report.LateP99), n.Report.Unstored, n.Report.Dropped, n.Report.Foreign, ms(n.Report.Clock), n.Report.Version)))
	}
	return table.Flush()
}

// shared is a database that several processes can use.
type shared interface {
	store.Nodes
	store.Peers
}

// crew is the processes that share a database, as this one sees them. With a
// database of its own this one is alone and does everything.
type crew struct {
	db    shared // nil: alone
	log   *slog.Logger
	share atomic.Pointer[store.Share]
}

func newCrew(db database, log *slog.Logger) *crew {
	c := &crew{log: log}
	whole := store.Whole()
	c.share.Store(&whole)
	if db, ok := db.(shared); ok {
		c.db = db
		c.share.Store(&store.Share{}) // until it is known
	}
	return c
}

// now is the time by which assignments are due: that of the database, which is
// the same for all.
func (c *crew) now() time.Time {
	if c.db == nil {
		return time.Now()
	}
	return c.db.Now()
}

// holds tells which assignments are this process's.
func (c *crew) holds() func(assignment string) bool { return c.share.Load().Holds }

// epoch is that of the lease by which an assignment is this process's. Until the
// engine has heard that one has become another's it runs it still: that is of no
// epoch that the ledger knows.
func (c *crew) epoch(assignment string) int64 {
	return cmp.Or(c.share.Load().Epoch(assignment), -1)
}

// leads reports whether this process runs the rules, and does what is done once.
func (c *crew) leads() bool { return c.share.Load().Rules }

const (
	reportEvery = 5 * time.Second
	// lookEvery is the least time between two looks at where the rules of
	// another node stand. Looking takes one part in lookShare of the time.
	lookEvery = 2 * time.Second
	lookShare = 50
	// again is how long to wait after a fault of storage.
	again = time.Second
)

// join runs, in the group, what several processes need.
func (c *crew) join(ctx context.Context, group *errgroup.Group, a *app) {
	if c.db == nil {
		return
	}
	group.Go(func() error { return c.follow(ctx, a.syncer) })
	group.Go(func() error { return c.report(ctx, a) })
	group.Go(func() error { return c.watchShelf(ctx, a) })
	group.Go(func() error { return c.serveAsks(ctx, engineDesk{a.engine, a.syncer, c}) })
}

// stats is how this process shares the work.
func (c *crew) stats() web.NodeStats {
	share, tenure := c.share.Load(), c.db.Tenure()
	return web.NodeStats{Shards: count(*share), Rules: share.Rules, LeaseAge: time.Since(tenure.Renewed), TakenOver: tenure.TakeOver}
}

// follow keeps the share what the database says, until ctx ends or another
// process has taken the name of this one.
func (c *crew) follow(ctx context.Context, s *syncer) error {
	for version := int64(-1); ; {
		share, err := c.db.Share(ctx, version)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case err != nil:
			return err
		}
		version = share.Version
		was := c.share.Swap(&share)
		if was.Shards != share.Shards || was.Rules != share.Rules {
			s.moved()
			c.log.InfoContext(ctx, "this node has another share of the work", slog.Int("shards", count(share)), slog.Bool("rules", share.Rules))
		}
	}
}

func count(s store.Share) int {
	n := 0
	for _, epoch := range s.Shards {
		if epoch != 0 {
			n++
		}
	}
	return n
}

// lead runs the rules whenever they are this process's, until ctx ends.
func (c *crew) lead(ctx context.Context, runner *rules.Runner) error {
	if c.db == nil {
		return runner.Run(ctx)
	}
	for ctx.Err() == nil {
		share, err := c.await(ctx, runner)
		if err != nil {
			return ended(ctx, err)
		}
		term, end := context.WithCancel(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			defer end()
			for share.Rules {
				var err error
				if share, err = c.db.Share(term, share.Version); err != nil {
					return
				}
			}
		}()
		err = runner.Run(term)
		end()
		<-watched
		if err != nil && !errors.Is(err, store.ErrFenced) {
			return ended(ctx, err)
		}
		pause(ctx, lookEvery/20)
	}
	return nil
}

// await returns when the rules are this process's. Until then it looks where
// they stand, so that people see it here too.
func (c *crew) await(ctx context.Context, runner *rules.Runner) (store.Share, error) {
	wait := time.Duration(0)
	for version := int64(-1); ; {
		bound, cancel := context.WithTimeout(ctx, wait)
		if wait == 0 {
			cancel()
			bound, cancel = context.WithCancel(ctx)
		}
		share, err := c.db.Share(bound, version)
		timeout := bound.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return share, ctx.Err()
		case err != nil && !timeout:
			return share, err
		case err == nil && share.Rules:
			return share, nil
		case err == nil:
			version = share.Version
		}
		began := time.Now()
		if err := runner.Look(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "look where the rules stand", slog.Any("err", err))
		}
		wait = max(lookEvery, lookShare*time.Since(began))
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of ctx is the wanted end
	}
	return err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// leave gives everything back at the end, so that others need not wait.
func (c *crew) leave(ctx context.Context) error {
	if c.db == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := c.db.Leave(ctx); err != nil {
		c.log.WarnContext(ctx, "give back what this node holds; it runs out by itself", slog.Any("err", err))
	}
	return nil
}

// report tells the others how this process does.
func (c *crew) report(ctx context.Context, a *app) error {
	for ctx.Err() == nil {
		s := a.engine.Stats()
		r := core.NodeReport{Version: build(), Tasks: s.Tasks, LateP99: s.LateP99, Unstored: s.Unstored, Dropped: s.Dropped, Foreign: s.Foreign}
		if err := c.db.Report(ctx, r); err != nil && ctx.Err() == nil {
			c.log.DebugContext(ctx, "report to other nodes", slog.Any("err", err)) // what matters fails loudly elsewhere
		}
		pause(ctx, reportEvery)
	}
	return nil
}

// watchShelf takes over modules and secrets that another process changed.
func (c *crew) watchShelf(ctx context.Context, a *app) error {
	for version := int64(-1); ctx.Err() == nil; {
		now, err := c.db.Shelf(ctx, version)
		if err == nil {
			version = now
			if err = a.vault.Load(ctx); err == nil {
				a.shelf.changed(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "follow modules and secrets", slog.Any("err", err))
			version = -1
			pause(ctx, again)
		}
	}
	return nil
}

// The answers to an ask.
const (
	answerDone    = "done"
	answerMissing = "missing"
	answerBusy    = "busy"
)

// askRun has another process run an assignment.
func (c *crew) askRun(ctx context.Context, assignment string) error {
	answer, err := c.db.AskRun(ctx, assignment)
	if err != nil {
		return err
	}
	switch answer {
	case answerDone:
		return nil
	case answerMissing:
		return store.ErrNotFound
	case answerBusy:
		return web.ErrBusy
	}
	return fmt.Errorf("the node that runs %s says: %s", assignment, answer)
}

// serveAsks runs what other processes ask for.
func (c *crew) serveAsks(ctx context.Context, desk engineDesk) error {
	var running errgroup.Group
	for ctx.Err() == nil {
		asks, err := c.db.Asked(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "read what other nodes ask for", slog.Any("err", err))
			pause(ctx, again)
		}
		for _, ask := range asks {
			running.Go(func() error {
				answer := answerDone
				switch err := desk.runHere(ctx, ask.Assignment); {
				case errors.Is(err, store.ErrNotFound):
					answer = answerMissing
				case errors.Is(err, web.ErrBusy):
					answer = answerBusy
				case err != nil:
					answer = err.Error()
				}
				if err := c.db.Answer(context.WithoutCancel(ctx), ask.ID, answer); err != nil {
					c.log.DebugContext(ctx, "answer another node", slog.Any("err", err)) // who asked has gone
				}
				return nil
			})
		}
	}
	return running.Wait()
}

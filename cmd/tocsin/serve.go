package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/collect/dial"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/secret"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/examples/demo"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/rules/action"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/ui"
)

const (
	defaultListen = "127.0.0.1:8420"
	defaultData   = "tocsin-data"
	demoData      = "tocsin-demo"
	defaultBuffer = 100_000
	drain         = 10 * time.Second // for everything to end after a signal
)

// serveFlags are the flags of serve.
type serveFlags struct {
	place
	listen, logLevel, publicURL string
	node, secretKey             string
	proxies                     []string
	demo, fullSync              bool
	engine                      engine.Options // all but the buffer set by bench, not by a flag
	keep                        keep
}

func newServe(s streams) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run Tocsin: the scheduler, the rules and the web interface",
		Long: `Runs everything in one process, with an embedded database in the data directory.
With --database several processes share a Postgres: each checks a part of the
systems, and takes over from one that ends or dies.
Prints where it listens and a link that signs an administrator in once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.demo && !cmd.Flags().Changed("data") {
				f.data = demoData
			}
			return serve(cmd.Context(), f, s)
		},
	}
	cmd.Flags().StringVar(&f.listen, "listen", defaultListen, "address to serve on; port 0 picks a free one")
	f.add(cmd)
	cmd.Flags().StringVar(&f.node, "node", "", "name of this process among those that share the --database; the name of the machine unless given")
	cmd.Flags().StringVar(&f.secretKey, "secret-key", "", "file with the key that secrets are sealed with, made when there is none; "+keyFile+" in the data directory unless given")
	cmd.Flags().BoolVar(&f.demo, "demo", false, "watch a demo shop that is served beside it; keeps its data in "+demoData+" unless --data is given")
	cmd.Flags().IntVar(&f.engine.Buffer, "buffer", defaultBuffer, "results that may wait in memory while storage is away, before the oldest passing ones are dropped")
	cmd.Flags().BoolVar(&f.fullSync, "full-sync", false, "flush the disk with every transaction")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	f.keep = usualKeep()
	cmd.Flags().Var(amountFlag{&f.keep.runs}, "keep-runs", "delete runs that are older, or more than a size: 30d, 20GB or 30d,20GB; 0 keeps all")
	cmd.Flags().Var(amountFlag{&f.keep.minutes}, "keep-minutes", "the same of runs added up by the minute")
	cmd.Flags().Var(amountFlag{&f.keep.hours}, "keep-hours", "the same of runs added up by the hour")
	cmd.Flags().Var(amountFlag{&f.keep.days}, "keep-days", "the same of runs added up by the day")
	cmd.Flags().Var(amountFlag{&f.keep.transitions}, "keep-transitions", "delete transitions that are older; the newest of each subject stays")
	cmd.Flags().Var(amountFlag{&f.keep.decisions}, "keep-decisions", "delete decisions and ended firings that are older")
	cmd.Flags().StringVar(&f.publicURL, "public-url", "", "address that people use when a proxy stands in front, for example https://tocsin.example")
	cmd.Flags().StringSliceVar(&f.proxies, "proxy", nil, "network of that proxy when it is on another machine, for example 10.0.0.0/8: what it says of who asks is believed")
	return cmd
}

// check refuses flags that cannot be meant.
func (f serveFlags) check() (slog.Level, *url.URL, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return 0, nil, usageError{fmt.Errorf("--log-level %q: write debug, info, warn or error", f.logLevel)}
	}
	if err := f.keep.check(); err != nil {
		return 0, nil, usageError{err}
	}
	if f.database != "" && f.fullSync {
		return 0, nil, usageError{errors.New("--full-sync is for the embedded database: Postgres flushes as its synchronous_commit says")}
	}
	if f.engine.Buffer < 1 {
		return 0, nil, usageError{fmt.Errorf("--buffer %d: write more than 0", f.engine.Buffer)}
	}
	if err := f.place.check(); err != nil {
		return 0, nil, err
	}
	if err := f.checkProxies(); err != nil {
		return 0, nil, err
	}
	if f.node != "" && f.database == "" {
		return 0, nil, usageError{errors.New("--node is for processes that share a --database: one without it is alone")}
	}
	if f.node != "" {
		if err := core.CheckName(f.node); err != nil {
			return 0, nil, usageError{fmt.Errorf("--node: %w", err)}
		}
	}
	_, port, err := net.SplitHostPort(f.listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return 0, nil, usageError{fmt.Errorf("--listen %q: write host:port, for example %s", f.listen, defaultListen)}
	}
	if f.publicURL == "" {
		return level, nil, nil
	}
	u, err := url.Parse(f.publicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return 0, nil, usageError{fmt.Errorf("--public-url %q: write http:// or https:// and a host, without a path", f.publicURL)}
	}
	return level, u, nil
}

func (f serveFlags) checkProxies() error {
	for _, proxy := range f.proxies {
		if _, err := netip.ParsePrefix(proxy); err != nil {
			return usageError{fmt.Errorf("--proxy %q: write a network such as 10.0.0.0/8, or one address such as 192.0.2.1/32", proxy)}
		}
	}
	if len(f.proxies) > 0 && f.publicURL == "" {
		return usageError{errors.New("--proxy: name the address that people use with --public-url too")}
	}
	return nil
}

// database is every role of storage.
type database interface { //nolint:interfacebloat // the sum of the roles
	store.Ledger
	store.Log
	store.Catalog
	store.History
	store.RunLog
	store.Series
	store.Journal
	store.Trace
	store.Queue
	store.Modules
	store.Releases
	store.Values
	store.Recordings
	store.Sessions
	store.Secrets
	Close() error
}

// openDatabase opens what the flags name: the file in the data directory unless
// there is a Postgres.
func (f serveFlags) openDatabase(ctx context.Context) (database, error) {
	if f.database == "" {
		return sqlite.Open(ctx, f.data, sqlite.Options{FullSync: f.fullSync})
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return postgres.Open(ctx, f.database, postgres.Options{Node: f.node})
}

// serve is the program: it opens storage, wires everything and runs it until
// ctx ends or a part fails.
func serve(ctx context.Context, f serveFlags, s streams) (err error) {
	level, public, err := f.check()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", f.listen, err)
	}
	defer listener.Close()
	db, err := f.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	a, err := assemble(ctx, db, f, public, log)
	if err != nil {
		return err
	}
	defer a.close(ctx)
	if err := a.welcome(ctx, listener.Addr(), public, f, s.out); err != nil {
		return err
	}
	return a.run(ctx, listener)
}

// app is everything that runs.
type app struct {
	db         database
	host       *wasm.Host
	engine     *engine.Engine
	collectors *collectors
	syncer     *syncer
	runner     *rules.Runner
	deliveries *rules.Deliveries
	hub        *live.Hub
	historian  historian
	handler    http.Handler
	service    *plan.Service
	notify     *action.Notify
	mask       func(string) string
	shelf      shelf
	shop       *demo.Shop // nil without --demo
	crew       *crew
	vault      *secret.Vault
	log        *slog.Logger
}

// networks are the ways out. Whoever may write checks and rules is trusted with
// private addresses, because people watch their own networks; modules are not,
// unless their grant says so.
type networks struct{ trusted, public *dial.Dialer }

func newNetworks() networks {
	return networks{
		trusted: dial.New(dial.Policy{Loopback: true, Private: true}, dial.Options{}),
		public:  dial.New(dial.Policy{}, dial.Options{}),
	}
}

// newHost makes the sandbox. Compilation happens in a process of its own, so
// that it can be ended when it takes too much.
func newHost(o wasm.Options, n networks) (*wasm.Host, error) {
	o.Dial, o.DialPrivate = n.public.DialContext, n.trusted.DialContext
	if self, err := os.Executable(); err == nil && o.CacheDir != "" {
		o.Worker = []string{self, compileCommand}
	}
	return wasm.New(o)
}

// assemble makes every part and gives each what it needs.
func assemble(ctx context.Context, db database, f serveFlags, public *url.URL, log *slog.Logger) (*app, error) {
	a := &app{db: db, log: log, crew: newCrew(db, log)}
	f.engine.Wall, f.engine.Epoch = a.crew.now, a.crew.epoch
	nets := newNetworks()
	if f.secretKey == "" {
		f.secretKey = filepath.Join(f.data, keyFile)
	}
	key, err := secret.KeyFile(f.secretKey)
	if err != nil {
		return nil, err
	}
	vault, err := secret.New(key, db)
	if err != nil {
		return nil, err
	}
	if err := vault.Load(ctx); err != nil {
		return nil, err
	}
	if a.host, err = newHost(wasm.Options{CacheDir: filepath.Join(f.data, "wasm-cache"), Log: log, Values: db, Secret: vault.Value}, nets); err != nil { //nolint:contextcheck // it waits for nothing
		return nil, err
	}
	a.vault = vault
	known := newCollectors(collect.Builtin(nets.trusted.DialContext), a.host, db, log)
	if err := known.reload(ctx); err != nil {
		return nil, err
	}
	planner := plan.New(known, plan.Options{Secret: vault.Value, Mask: vault.Mask, Revision: known.revision, Functions: offers{known}.functions})
	offered := offers{known}
	channels, err := rules.NewChannels(db, vault.Value)
	if err != nil {
		return nil, err
	}
	compiler, err := rules.NewCompiler(action.New(action.Needs{Log: log, Dial: nets.trusted.DialContext, Assignments: actionDesk{a}, Channels: channels}))
	if err != nil {
		return nil, err
	}
	compiler = compiler.With(offered)
	a.service = plan.NewService(planner, db, compiler.Validate)
	a.service.Channels(channels.Validate)
	a.notify, a.mask = action.NewNotify(channels, nets.trusted.DialContext), vault.Mask
	a.engine = engine.New(db, log, f.engine)
	a.syncer = &syncer{catalog: db, ledger: db, planner: planner, collectors: known, engine: a.engine, log: log, modules: make(chan struct{}, 1), crew: a.crew}
	a.shelf = shelf{kept: db, refuse: offered.refuse, changed: func(ctx context.Context) {
		if err := known.reload(ctx); err != nil {
			log.ErrorContext(ctx, "reload modules", slog.Any("err", err))
		}
		a.syncer.moved()
		a.runner.Hint()
	}}
	known.hold = a.shelf.PutRelease
	a.collectors = known
	a.deliveries = rules.NewDeliveries(db, compiler, log, rules.DeliveryOptions{Now: a.crew.now, Secret: vault.Value, Mask: vault.Mask, Health: db})
	a.runner = rules.NewRunner(rules.Store{Log: db, Runs: db, Journal: db, Catalog: db, Health: db}, compiler, log, rules.RunnerOptions{Now: a.crew.now, Sender: a.deliveries})
	a.historian = historian{leads: a.crew.leads, history: db, series: db, quiet: quiet{db, a.service, func() map[string]bool { return a.runner.Episodes() }}, log: log, keep: f.keep}
	if f.demo {
		if a.shop, err = demo.New(); err != nil {
			return nil, err
		}
	}
	return a, a.wireWeb(f, public, planner, compiler, known, vault)
}

// wireWeb makes the hub and the handler.
func (a *app) wireWeb(f serveFlags, public *url.URL, planner *plan.Planner, compiler *rules.Compiler, known *collectors, vault *secret.Vault) error {
	db, o := a.db, web.Options{Version: build(), Demo: f.demo}
	if public != nil {
		o.Origins = []string{public.Scheme + "://" + public.Host}
		o.Secure = public.Scheme == "https"
		for _, proxy := range append(f.proxies, "127.0.0.0/8", "::1/128") {
			o.Proxies = append(o.Proxies, netip.MustParsePrefix(proxy)) // examined before
		}
	}
	a.hub = live.New(live.Deps{
		Log: db, Catalog: db, Ledger: db, History: db, Trace: db, Logger: a.log,
		Next:   a.syncer.next,
		Firing: func() map[string]bool { return a.runner.Firing() },
		Select: func(sel core.Selector, systems []core.System) []string {
			picked, _ := planner.Matches(sel, systems)
			ids := make([]string, len(picked))
			for i, s := range picked {
				ids[i] = s.ID
			}
			return ids
		},
		Silences: compiler.SilencedSystems,
	}, live.Options{Build: ui.Build(), Origins: o.Origins})
	d := web.Deps{
		Catalog: db, Ledger: db, Log: db, History: db, Series: db, Trace: db, Sessions: db, Stored: a.shelf, Releases: a.shelf, Values: db, Recordings: db,
		Firings: db, Deliveries: a.deliveries,
		Saver:       a.service,
		Rules:       ruleDesk{compiler, a.runner, planner},
		TestChannel: a.testChannel,
		Judge:       newJudge(compiler, a.runner, db),
		Modules:     moduleDesk{a.host, known},
		Engine:      engineDesk{a.engine, a.syncer, a.crew},
		Hub:         a.hub,
		Logger:      a.log,
		Secrets:     vault,
		Collectors:  known.infos,
		Examples:    map[string]func() ([]byte, error){"queue-depth": examples.QueueDepth},
		Quarantined: func() map[string]core.Problems { return a.runner.Quarantined() },
		UI: func(boot func(*http.Request) any) http.Handler {
			return ui.Handler(ui.Options{Boot: boot, Logger: a.log})
		},
	}
	if a.shop != nil {
		d.Demo = demoDesk{a.shop}
	}
	if a.crew.db != nil {
		d.Nodes, d.Node = a.crew.db.Nodes, a.crew.stats
	}
	var err error
	a.handler, err = web.New(d, o)
	return err
}

// welcome makes the ways in and prints them.
func (a *app) welcome(ctx context.Context, addr net.Addr, public *url.URL, f serveFlags, out io.Writer) error {
	base := "http://" + reachable(addr)
	token, err := web.NewToken(ctx, a.db, "local", "admin", time.Time{})
	if err != nil {
		return err
	}
	if err := writeEndpoint(f.data, endpoint{URL: base, Token: token}); err != nil {
		return err
	}
	link, err := web.NewLink(ctx, a.db, "admin", "admin")
	if err != nil {
		return err
	}
	if a.shop != nil {
		if err := a.setUpDemo(ctx); err != nil {
			return err
		}
		fmt.Fprintf(out, "demo shop on %s: break something there, or: curl -X POST %s/payments/break\n", a.shop.URL(), a.shop.URL())
	}
	entrance := base
	if public != nil {
		entrance = public.Scheme + "://" + public.Host
	}
	fmt.Fprintf(out, "sign in once with %s/login?link=%s\n", entrance, link)
	fmt.Fprintf(out, "listening on %s\n", base)
	return nil
}

// reachable is an address that this machine can connect to.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// run runs every part until ctx ends or one fails, and waits for all.
func (a *app) run(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	var working sync.WaitGroup // on what is leased
	working.Add(2)
	group.Go(func() error { defer working.Done(); return a.engine.Run(ctx) })
	group.Go(func() error { return a.collectors.Run(ctx) })
	group.Go(func() error { return a.syncer.Run(ctx) })
	group.Go(func() error { defer working.Done(); return a.crew.lead(ctx, a.runner) })
	group.Go(func() error { working.Wait(); return a.crew.leave(ctx) })
	a.crew.join(ctx, group, a)
	group.Go(func() error { return a.deliveries.Run(ctx) })
	group.Go(func() error { return a.hub.Run(ctx) })
	group.Go(func() error { return a.historian.Run(ctx) })
	if a.shop != nil {
		group.Go(func() error { return a.shop.Run(ctx) })
	}
	server := &http.Server{Handler: a.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := server.Shutdown(bound); err != nil {
			return errors.Join(fmt.Errorf("stop serving: %w", err), server.Close())
		}
		return nil
	})
	return group.Wait()
}

// close frees what outlives run. It takes place although ctx has ended.
func (a *app) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := a.host.Close(ctx); err != nil {
		a.log.WarnContext(ctx, "close the sandbox", slog.Any("err", err))
	}
}

package wasm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sync/semaphore"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// DialFunc opens a connection for a guest, as [net.Dialer.DialContext] does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Values keeps what modules remember between runs, by scope and key. Its
// methods are safe for concurrent use.
type Values interface {
	Value(ctx context.Context, scope, key string) (value string, found bool, err error)
	// SetValue stores a value, nil forgets it. Not ok: nothing was changed,
	// since the keys and values of the scope would have more than most bytes.
	SetValue(ctx context.Context, scope, key string, value *string, most int64) (used int64, ok bool, err error)
}

// SecretFunc is the value of a secret. It does not wait; the text of the error
// says how to make one that is missing.
type SecretFunc func(name string) (string, error)

// Options of a Host. Zero works: modules without a network, compiled in this
// process and in memory.
type Options struct {
	CacheDir      string        // compiled code is kept here, for the owner only; it is run as it is, when it is as the compiler wrote it; default: not kept
	Log           *slog.Logger  // faults of the sandbox go here; default: discarded
	Dial          DialFunc      // for modules whose Grant is not private; default: they reach nothing
	DialPrivate   DialFunc      // for modules whose Grant is private; default: they reach nothing
	Lookup        LookupFunc    // answers dns; default: the resolver of the system
	Values        Values        // what modules keep; default: they keep nothing
	Secret        SecretFunc    // the value of a secret; default: there are none
	MaxInstances  int           // instances alive at once; default 256
	MaxIdle       int64         // what the instances that wait for their next run may take together, bytes; default 256 MiB
	MaxMemory     int64         // sum of the memory limits of the instances alive at once, bytes; default 2 GiB
	CompileTime   time.Duration // processor time of one compilation in a Worker, and twelve times as much by the clock; default 10 s
	CompileMemory int64         // of one compilation in a Worker, bytes; default 1 GiB
	Worker        []string      // command that runs [CompileWorker] on its standard streams, so that a compilation can be killed; default: compile in this process
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lookup == nil {
		o.Lookup = lookup
	}
	if o.Secret == nil {
		o.Secret = func(name string) (string, error) { return "", fmt.Errorf("there is no secret %q", name) }
	}
	o.MaxInstances = cmp.Or(o.MaxInstances, 256)
	o.MaxIdle = cmp.Or(o.MaxIdle, 256<<20)
	o.MaxMemory = cmp.Or(o.MaxMemory, 2<<30)
	o.CompileTime = cmp.Or(o.CompileTime, 10*time.Second)
	o.CompileMemory = cmp.Or(o.CompileMemory, 1<<30)
	return o
}

// Host runs modules. It is safe for concurrent use.
type Host struct {
	o         Options
	isolation Isolation
	runtime   wazero.Runtime
	cache     wazero.CompilationCache // nil when nothing is kept
	cacheDir  string
	files     *cache // what is in cacheDir; nil when nothing is kept; used by the holder of compiling
	ownsDir   bool
	public    *client
	private   *client
	nowhere   *client // reaches nothing
	idle      *idle
	turns     turns
	instances chan struct{}
	memory    *semaphore.Weighted
	compiling chan struct{} // holds one token while something compiles

	mu       sync.Mutex
	programs map[string]*program // by kind and digest; guarded by mu
	engine   bool                // the interpreter is kept; guarded by mu
	closed   bool                // guarded by mu
	active   sync.WaitGroup      // calls; added to under mu while not closed
}

// ErrClosed is the error of a Host that was closed.
var ErrClosed = errors.New("the module host is closed")

func runtimeConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(meter.DefaultLimits().Pages)
}

// New makes a Host. The caller closes it.
func New(o Options) (*Host, error) { return newHost(o, Restored) }

func newHost(o Options, isolation Isolation) (*Host, error) {
	o = o.withDefaults()
	h := &Host{
		o: o, isolation: isolation, cacheDir: o.CacheDir, public: newClient(o.Dial), private: newClient(o.DialPrivate), nowhere: newClient(nil),
		programs: map[string]*program{}, idle: newIdle(o.MaxIdle), turns: newTurns(),
		instances: make(chan struct{}, o.MaxInstances), memory: semaphore.NewWeighted(o.MaxMemory), compiling: make(chan struct{}, 1),
	}
	if err := h.openCache(); err != nil {
		return nil, fmt.Errorf("open the cache of compiled modules: %w", err)
	}
	ctx := context.Background()
	config := runtimeConfig()
	if h.cache != nil {
		config = config.WithCompilationCache(h.cache)
	}
	h.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := offer(ctx, h.runtime); err != nil {
		return nil, errors.Join(err, h.Close(ctx))
	}
	return h, nil
}

func (h *Host) openCache() error {
	var err error
	if h.cacheDir == "" && len(h.o.Worker) > 0 { // a worker hands its work over in a directory
		h.ownsDir = true
		h.cacheDir, err = os.MkdirTemp("", "tocsin-modules-")
	}
	if err != nil || h.cacheDir == "" {
		return err
	}
	if h.cacheDir, err = filepath.Abs(h.cacheDir); err != nil {
		return err
	}
	if h.files, err = openCache(h.cacheDir); err != nil {
		return err
	}
	h.cache, err = wazero.NewCompilationCacheWithDir(h.cacheDir)
	return err
}

// Close waits for the calls under way, which their contexts bound, and frees
// everything. Modules of h answer with Outcome Error from then on.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.active.Wait()
	h.idle.stop()             //nolint:contextcheck // closing an instance does not wait
	h.compiling <- struct{}{} // an abandoned compilation has ended too
	err := h.runtime.Close(ctx)
	if h.cache != nil {
		err = errors.Join(err, h.cache.Close(ctx))
	}
	if h.ownsDir {
		err = errors.Join(err, os.RemoveAll(h.cacheDir))
	}
	return err
}

// begin keeps h open until the function it returns is called.
func (h *Host) begin() (end func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	h.active.Add(1)
	return h.active.Done, nil
}

// Inspect says what a file is, or why it cannot be a module: it checks the
// structure, the imports, the exports and the limits, compiles it, and lets it
// describe itself in the sandbox with nothing granted. The error is a sentence
// for the person who uploads.
func (h *Host) Inspect(ctx context.Context, file []byte) (core.Manifest, error) {
	end, err := h.begin()
	if err != nil {
		return core.Manifest{}, err
	}
	defer end()
	if core.KindOf(file) == core.ScriptModule {
		return h.inspectScript(ctx, file)
	}
	p, release, err := h.program(ctx, reactor(), file)
	if err != nil {
		return core.Manifest{}, err
	}
	defer release()
	document := p.file.Custom(abi.ManifestSection)
	if document == nil {
		if document, err = h.describe(ctx, p); err != nil {
			return core.Manifest{}, err
		}
	}
	m, err := readManifest(document)
	if err != nil {
		return core.Manifest{}, err
	}
	if err := checkOffers(p.file, m); err != nil {
		return core.Manifest{}, err
	}
	if need, has := int64(p.file.Pages)<<16, m.Wants.Limits.Filled().Memory; need > has {
		return core.Manifest{}, fmt.Errorf("it begins with %d bytes of memory and its manifest wants %d: raise wants.limits.memory_bytes", need, has)
	}
	return m, nil
}

// describing is a run in which a guest describes itself.
func (h *Host) describing() *run {
	limits := core.Limits{Memory: describeBytes, Fuel: describeFuel}.Filled()
	return &run{limits: limits, client: h.nowhere, host: h, started: time.Now(), random: seeded(0)}
}

func (h *Host) describe(ctx context.Context, p *program) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	r := h.describing()
	if p.command {
		if err := r.ask(ctx, 0, abi.Request{Kind: abi.KindDescribe}); err != nil {
			return nil, err
		}
	}
	err := h.call(ctx, &plan{program: p, guest: compiled{}, memory: r.limits.Memory}, r, export(abi.Describe))
	if p.command && (err != nil || !json.Valid(r.output)) {
		return nil, noManifest(r.output, err)
	}
	if err != nil {
		return nil, fmt.Errorf("it failed to describe itself: %w", err)
	}
	return r.output, nil
}

// Load makes a stored module ready to run: it holds the file to its digest and
// the grant to the manifest, and compiles the file unless it is compiled
// already. The caller closes the Module.
func (h *Host) Load(ctx context.Context, m core.Module, file []byte) (*Module, error) {
	end, err := h.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if got := digest(file); m.Digest != "" && got != m.Digest {
		return nil, fmt.Errorf("load module %s: the file is damaged: its digest is %s, stored was %s", m.Name, got, m.Digest)
	}
	if err := CheckGrant(m.Manifest, m.Grant); err != nil {
		return nil, fmt.Errorf("load module %s: %w", m.Name, err)
	}
	allowed, err := rightsOf(m.Grant)
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", m.Name, err)
	}
	p, g, release, err := h.guest(ctx, m.Manifest, file)
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", m.Name, err)
	}
	limits := m.Grant.Limits.Filled()
	if need := int64(p.file.Pages) << 16; need > limits.Memory {
		release()
		return nil, fmt.Errorf("load module %s: it begins with %d bytes of memory, granted are %d", m.Name, need, limits.Memory)
	}
	its := &plan{program: p, guest: g, memory: limits.Memory}
	if err := h.settle(ctx, its); err != nil {
		release()
		return nil, fmt.Errorf("load module %s: it failed to initialise: %w", m.Name, err)
	}
	out := &Module{host: h, plan: its, facts: m, limits: limits, rights: allowed, client: h.public, release: func() { //nolint:contextcheck // closing an instance does not wait
		h.idle.end(its)
		release()
	}}
	if m.Grant.Private {
		out.client = h.private
	}
	return out, nil
}

// guest is a file with the program that runs it. The caller releases it.
func (h *Host) guest(ctx context.Context, m core.Manifest, file []byte) (*program, guest, func(), error) {
	if core.KindOf(file) == core.ScriptModule {
		_, g, err := compileScript(file)
		if err != nil {
			return nil, nil, nil, err
		}
		p, release, err := h.interpreter(ctx)
		return p, g, release, err
	}
	p, release, err := h.program(ctx, reactor(), file)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := checkOffers(p.file, m); err != nil {
		release()
		return nil, nil, nil, err
	}
	return p, compiled{}, release, nil
}

func digest(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// program compiles file unless it is compiled already. The caller releases it.
func (h *Host) program(ctx context.Context, k *kind, file []byte) (*program, func(), error) {
	key := k.name + " " + digest(file)
	if p := h.use(key, nil); p != nil {
		return p, h.releaser(key, p), nil //nolint:contextcheck // freeing does not wait
	}
	fresh, err := h.compile(ctx, k, file)
	if err != nil {
		return nil, nil, err
	}
	p := h.use(key, fresh)
	if p != fresh { // somebody else was faster
		if err := fresh.compiled.Close(context.WithoutCancel(ctx)); err != nil {
			h.o.Log.WarnContext(ctx, "close a module compiled twice", slog.Any("err", err))
		}
	}
	return p, h.releaser(key, p), nil //nolint:contextcheck // freeing does not wait
}

// use counts one more user of a program, which is fresh when there is none.
func (h *Host) use(key string, fresh *program) *program {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.programs[key]
	if p == nil {
		if fresh == nil {
			return nil
		}
		p = fresh
		h.programs[key] = p
	}
	p.users++
	return p
}

func (h *Host) releaser(key string, p *program) func() {
	return sync.OnceFunc(func() {
		h.mu.Lock()
		p.users--
		last := p.users == 0
		if last {
			delete(h.programs, key)
		}
		h.mu.Unlock()
		if last {
			_ = p.compiled.Close(context.Background()) // closing compiled code cannot fail
		}
	})
}

// Package wasm runs users' modules in a sandbox that grants nothing by default.
//
// A [Host] inspects files before they are stored ([Host.Inspect]) and loads
// stored modules ([Host.Load]); a [Module] gathers results ([Module.Collect]).
// What holds for every call:
//
//   - A file is a reactor, whose exports are called, or a command, which runs
//     from its start to its end: a program for WASI preview 1.
//   - Each run begins in the state that the module's initialisation left.
//     Nothing that one run wrote, in memory, globals or tables, is visible to
//     another: an instance goes back to that state before it runs again, and
//     one that ended badly, or whose changes cannot be undone, is not used
//     again.
//   - The initialisation runs once, when the module is loaded, with nothing
//     granted, a clock that moves only when it sleeps and random numbers that
//     are always the same: every machine begins its runs in the same state.
//   - A run reaches only what its Grant names, through the dialer the Host was
//     given. It has no files, no environment, no sockets and no clock but that
//     of its run.
//   - Every limit has a number. A run that goes over it ends with Outcome
//     Error and a reason that names the limit; other runs do not notice.
//   - A module is rewritten once, when it is loaded, so that it pays for each
//     instruction. That bounds what it computes, makes it stop at its deadline
//     and gives the Go scheduler a point to take the thread back.
//   - Compilation happens once per digest, never on the path of a check.
//
// The contract with guests is package abi. The package is safe for concurrent
// use. No goroutine outlives a call, except that of a compilation in this
// process that took too long: it ends when the compiler does, nothing else
// compiles until then, and [Host.Close] waits for it. With [Options.Worker]
// there is no such goroutine.
package wasm

//go:build unix

package main

import (
	"os"
	"syscall"
)

// freeze stops a process in the middle of whatever it does.
func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// thaw lets it go on.
func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// dismiss asks it to end.
func dismiss(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

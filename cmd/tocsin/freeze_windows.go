package main

import (
	"errors"
	"os"
)

var errFreeze = errors.New("a process cannot be stopped and continued on Windows")

// freeze stops a process in the middle of whatever it does.
func freeze(*os.Process) error { return errFreeze }

// thaw lets it go on.
func thaw(*os.Process) error { return errFreeze }

// dismiss asks it to end.
func dismiss(p *os.Process) error { return p.Kill() }

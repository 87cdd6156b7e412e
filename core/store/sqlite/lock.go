package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrInUse is returned by [Open] when another process has the data directory
// open.
var ErrInUse = errors.New("another process has it open")

// inUse is ErrInUse with the process that holds the lock at path, as far as
// that can be known.
func inUse(path string) error {
	holder, err := os.ReadFile(path) //nolint:gosec // the lock of the directory that the operator named
	if err != nil || len(holder) == 0 {
		return ErrInUse
	}
	return fmt.Errorf("%w: tocsin with process id %s; stop it, or give this one a directory of its own",
		ErrInUse, strings.TrimSpace(string(holder)))
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

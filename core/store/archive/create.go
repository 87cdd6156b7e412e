package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists is returned where a file would be overwritten.
var ErrExists = errors.New("it is there already and is not overwritten")

// Create makes a file at path, readable by its owner only, of which nobody ever
// sees a part: write makes it under another name, and it appears at path when it
// is whole and on disk. What is at path already stays.
func Create(path string, write func(part string) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := filepath.Join(dir, "part")
	if err := write(part); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o600); err != nil {
		return err
	}
	if err := flush(part); err != nil {
		return err
	}
	err = os.Link(part, path)
	if err != nil && !errors.Is(err, fs.ErrExist) { // not every file system has links
		if _, there := os.Lstat(path); there != nil {
			err = os.Rename(part, path)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return err
	}
	return flush(filepath.Dir(path))
}

// flush waits until what was written of a file, or of the names in a directory,
// is on disk.
func flush(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator named it
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

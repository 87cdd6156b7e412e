package wasm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
)

// cache is the list of what the directory of compiled code holds. Compiled
// code runs as it is, and the runtime checks no more than a CRC of it: so a
// file of the directory is used only when it has the digest that it had when
// the compiler wrote it, and what is not in the list is removed. Losing an
// entry costs a compilation, no more.
//
// It guards against damage and against files that somebody put there who
// cannot write the list; who can write what belongs to this user needs no
// cache to do harm. Its methods are called by the holder of Host.compiling.
type cache struct {
	dir  string
	list entries
}

// entries is the list as it is written down.
type entries struct {
	Engine  string            `json:"engine"`  // that compiled: another needs other code
	Entries map[string]cached `json:"entries"` // by the digest of the rewritten module
}

// cached is one file of compiled code.
type cached struct {
	File   string `json:"file"`
	Digest string `json:"sha256"`
}

// entriesFile is the list, in the directory.
const entriesFile = "entries.json"

// openCache reads the list of a directory, which it makes, for its owner only.
// A list that cannot be read, or is of another compiler, is an empty one.
func openCache(dir string) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory must be searched
		return nil, err
	}
	c := &cache{dir: dir}
	engine := engineVersion()
	text, err := os.ReadFile(filepath.Join(dir, entriesFile)) //nolint:gosec // the directory of the operator
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if json.Unmarshal(text, &c.list) != nil || c.list.Engine != engine || c.list.Entries == nil {
		c.list = entries{engine, map[string]cached{}}
	}
	return c, nil
}

// engineVersion names the compiler and the processor that it compiles for.
func engineVersion() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				version = d.Version
			}
		}
	}
	return version + " " + runtime.GOOS + " " + runtime.GOARCH
}

// sound reports whether the compiled code of a program is there as it was
// written. It removes what is not, and every file that is in no entry.
func (c *cache) sound(program string) (bool, error) {
	if err := c.sweep(); err != nil {
		return false, err
	}
	e, ok := c.list.Entries[program]
	if !ok {
		return false, nil
	}
	if got, err := digestOf(filepath.Join(c.dir, e.File)); err == nil && got == e.Digest {
		return true, nil
	}
	return false, c.forget(program)
}

// sweep removes the files that are in no entry.
func (c *cache) sweep() error {
	return c.strangers(func(path string) error { return os.Remove(filepath.Join(c.dir, path)) })
}

// strangers calls each with the files that are in no entry. It looks where the
// runtime writes, and leaves alone what else is in the directory.
func (c *cache) strangers(each func(path string) error) error {
	known := map[string]bool{}
	for _, e := range c.list.Entries {
		known[e.File] = true
	}
	places, err := filepath.Glob(filepath.Join(c.dir, "wazero-*"))
	if err != nil {
		return err
	}
	for _, place := range places {
		err := filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(c.dir, path)
			if err != nil || known[name] {
				return err
			}
			return each(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keep enters the file that the compiler has just written for a program, and
// reports whether there is one.
func (c *cache) keep(program string) (found bool, err error) {
	err = c.strangers(func(path string) error {
		if found {
			return os.Remove(filepath.Join(c.dir, path))
		}
		sum, err := digestOf(filepath.Join(c.dir, path))
		c.list.Entries[program], found = cached{path, sum}, true
		return err
	})
	if err != nil || !found {
		return found, err
	}
	return true, c.write()
}

// forget removes the entry of a program with its file.
func (c *cache) forget(program string) error {
	delete(c.list.Entries, program)
	if err := c.sweep(); err != nil {
		return err
	}
	return c.write()
}

// write replaces the list as a whole.
func (c *cache) write() error {
	text, err := json.MarshalIndent(c.list, "", "  ")
	if err != nil {
		return err
	}
	part := filepath.Join(c.dir, entriesFile+".part")
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(c.dir, entriesFile))
}

func digestOf(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", path)
	}
	file, err := os.Open(path) //nolint:gosec // a file of the cache
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

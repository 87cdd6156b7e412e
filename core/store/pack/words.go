package pack

import (
	"sync"

	"github.com/tocsin-io/tocsin/core"
)

// MaxWords bounds how many names of samples get a number; a module that makes
// up names must not fill memory with them. Further names are written out.
const MaxWords = 4096

// Words numbers the names of samples, from 1. Zero is an empty list. It is safe
// for concurrent use.
type Words struct {
	mu    sync.RWMutex
	keys  map[string]uint64
	names []string // name of key i+1
}

// Reset makes names the list.
func (l *Words) Reset(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = names
	l.keys = make(map[string]uint64, len(names))
	for i, name := range names {
		l.keys[name] = uint64(i + 1)
	}
}

// key of name, giving it one when there is room; 0 when there is none. Only
// the writer calls it.
func (l *Words) key(name string) (key uint64, fresh bool) {
	l.mu.RLock()
	key, ok := l.keys[name]
	full := len(l.names) >= MaxWords
	l.mu.RUnlock()
	if ok || full || len(name) > core.MaxName {
		return key, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, name)
	key = uint64(len(l.names))
	l.keys[name] = key
	return key, true
}

// Len is how many names have a number.
func (l *Words) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.names)
}

// Shrink forgets the newest names, down to n.
func (l *Words) Shrink(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range l.names[n:] {
		delete(l.keys, name)
	}
	l.names = l.names[:n]
}

// Name of a number, false when it was not given.
func (l *Words) Name(key uint64) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if key < 1 || key > uint64(len(l.names)) {
		return "", false
	}
	return l.names[key-1], true
}

// number of a name that has one.
func (l *Words) number(name string) (uint64, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	key, ok := l.keys[name]
	return key, ok
}

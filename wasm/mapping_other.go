//go:build !linux

package wasm

// Elsewhere than on Linux every memory is in the heap and restored by copying
// all of it.

type backing struct{}

func (*image) back() error { return nil }

func (*image) mapped() bool { return false }

func (*image) close() {}

type mapping struct{ bytes []byte }

func newMapping(*image, uint64) (*mapping, error) { return nil, nil } //nolint:nilnil // no mapping, and that is no error

func (*mapping) restore(*image, uint64) error { return nil }

func (*mapping) dirty() int64 { return 0 }

func (*mapping) close() {}

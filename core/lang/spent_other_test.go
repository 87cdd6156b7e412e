//go:build !unix

package lang_test

import "time"

// spent is the time on the clock, where that of the processor is not known.
func spent() time.Duration {
	return time.Duration(time.Now().UnixNano()) //nolint:forbidigo // it measures
}

//go:build unix

package lang_test

import (
	"syscall"
	"time"
)

// spent is the time that this process has had of the processor. Other processes
// on the machine do not count.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

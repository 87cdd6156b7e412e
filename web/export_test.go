package web

// Covers reports whether a wanted pattern includes a granted one.
func Covers(want, granted string) bool { return covers(want, granted) }

// Package rules decides which changes of health deserve action and when, and
// carries the actions out.
//
// Deciding is pure. A [Machine] takes transitions, the clock's instants and the
// facts about systems, and answers with [core.Decision]s and [core.Firing]s; it
// has no clock, does no I/O and starts no goroutine. The same Machine serves
// the live [Runner], which follows the Log and commits each turn in one
// transaction, and [Replay], which needs no server and no database.
//
// The stages an event passes, in order: trigger, when, by, window, dwell,
// unless, cooldown, mode, firing. Each writes its verdict into the Decision. A
// gate delays, it never loses: what unless, a cooldown or the mode hold back is
// offered again when the reason lifts, for as long as the episode is open; and
// an episode that fired always ends with exactly one recovery.
//
// An event that a timer and a transition share an instant with is seen first.
// Expressions that cannot be evaluated never decide silently: when is then a
// visible drop, by gives the subject a visible partition of its own, while
// keeps what was, and unless does not hold back.
//
// A new rule, a rule whose gate was edited and a rule that was enabled begin
// with the events that happen after they were saved, with nothing counted. A
// rule that is disabled, deleted or whose gate is edited closes its episodes;
// those that fired recover. Other edits (name, labels, steps, mode) keep counts,
// deadlines and episodes.
//
// A [Deliveries] carries out the steps of firings from the durable queue, at
// least once and always with the same idempotency key.
package rules

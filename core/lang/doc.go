// Package lang is the one language of conditions, selectors, assertions and
// texts: expr, checked against a typed environment before it is stored.
//
// It takes expr's grammar and type checker and evaluates by itself, because
// three promises cannot be had otherwise:
//
//   - An evaluation ends. Every expression has a budget of steps that loops,
//     long texts and large lists draw from; expr has no way to be stopped.
//   - Nothing silently takes a branch. A value that is missing or null, or of
//     another type than it is compared with, is an error that names it, unless
//     the author asked for less with ?. or ?? or == nil.
//   - Every decision can be explained: [Program.Explain] gives the value of each
//     part, in the order of the text.
//
// One exception, for the sake of people who write conditions: an absent key of
// a map of texts, such as system.tags.tier of a system without that tag, is "".
//
// Expressions are pure: there is no clock, no randomness and no I/O. The time,
// where a scope has it, is the variable now.
//
// Everything here is immutable once made and safe for concurrent use.
package lang

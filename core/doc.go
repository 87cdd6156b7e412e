// Package core names the things Tocsin talks about and decides health.
//
// Everything here is a value or a pure function of values: no I/O, no clock
// and no goroutines. Time arrives as a parameter or inside the facts. That is
// what lets the same code serve the live ledger, a backtest, a replay and a
// test.
package core

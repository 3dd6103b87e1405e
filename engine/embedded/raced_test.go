//go:build race

package embedded_test

// raced: the race detector has the scheduler draw whom it takes next, so that two plays of
// a seed are two simulations.
const raced = true

//go:build !race

package embedded_test

// raced is set under the race detector.
const raced = false

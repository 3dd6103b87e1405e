package embedded_test

import (
	"context"
	"testing"

	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

// whole holds everything in a store against itself, as orpine doctor --verify does.
func whole(t *testing.T, s store.Store) {
	t.Helper()
	for _, problem := range damage(t, s) {
		t.Error(problem)
	}
}

// damage is what is wrong in a store.
func damage(t *testing.T, s store.Store) []string {
	t.Helper()
	j, err := journal.New(s)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	_, err = j.Verify(context.WithoutCancel(t.Context()), journal.Verification{Problem: func(text string) { found = append(found, text) }})
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	return found
}

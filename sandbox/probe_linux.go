//go:build linux && amd64

package sandbox

import (
	"context"
	"errors"
	"os"
)

// try starts a jail around a command that cannot be there: if that is all that fails, the
// kernel has done everything else.
func (j *jail) try() error {
	_, err := j.start(context.Background(), Spec{Command: []string{"/nowhere"}, Limits: Limits{}.orDefaults()})
	if _, ok := errors.AsType[*NotFoundError](err); ok {
		return nil
	}
	return err
}

func jailNotes() []string {
	notes := []string{"memory is counted by looking at the processes twenty times a second: one that is quick gets over its limit for a moment"}
	if os.Geteuid() != 0 {
		notes = append(notes, "processes run as the user of this program: they keep its groups, and read what it may read of the directories that are shared")
	}
	return notes
}

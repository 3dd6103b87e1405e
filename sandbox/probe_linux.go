//go:build linux && amd64

package sandbox

import (
	"context"
	"errors"
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

// notes says what the jail of this machine lacks all the same.
func (j *jail) notes() []string {
	var notes []string
	if j.groups.parent == "" {
		notes = append(notes, "memory is counted by looking at the processes twenty times a second, because "+j.groups.why+
			"; in a unit of systemd, Delegate=memory pids and DelegateSubgroup=main leave one")
	}
	if !j.root {
		notes = append(notes, "processes run as the user of this program: they keep its groups, and read what it may read of the directories that are shared")
	}
	return notes
}

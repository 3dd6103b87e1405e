//go:build !linux || !amd64

package sandbox

import "context"

type jail struct{}

func newJail(Config) (*jail, error) {
	return nil, &RefusedError{
		Missing: "a jail needs Linux on amd64",
		Mend:    `run Orpine there, or ask for tier "none" by its name where the commands can be trusted`,
	}
}

func (*jail) start(context.Context, Spec) (*Process, error) { return nil, nil }

func (*jail) notes() []string { return nil }

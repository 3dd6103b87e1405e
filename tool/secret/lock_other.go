//go:build !unix

package secret

import (
	"os"

	"github.com/orpine-run/orpine/durable"
)

func lockFile(string) (unlock func(), err error) {
	return nil, durable.Errorf(durable.CodeInvalid, "the store of secrets can be changed on Linux and other Unix systems only")
}

func syncDir(*os.File) error { return nil }

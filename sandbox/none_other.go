//go:build !unix

package sandbox

import (
	"context"
	"syscall"
)

func limitOf(syscall.Signal) Limit { return "" }

func startBare(context.Context, Spec) (*Process, error) {
	return nil, &RefusedError{Missing: "processes are started on Unix systems only", Mend: "run Orpine on Linux"}
}

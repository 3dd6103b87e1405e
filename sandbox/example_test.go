//go:build unix

package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/orpine-run/orpine/sandbox"
)

// A process is given its input and told what it may touch, here nothing. Without a Tier it would
// run in a jail; an example has to work where there is none.
func Example() {
	box, err := sandbox.New(sandbox.Config{Tier: sandbox.TierNone})
	if err != nil {
		fmt.Println(err)
		return
	}
	exit, err := box.Run(context.Background(), sandbox.Spec{Command: []string{"tr", "a-z", "A-Z"}},
		sandbox.Streams{In: strings.NewReader("hello\n"), Out: os.Stdout})
	fmt.Println(exit.Code, err)
	// Output:
	// HELLO
	// 0 <nil>
}

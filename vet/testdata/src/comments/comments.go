package comments

import (
	"os"
	"time"

	"github.com/orpine-run/orpine/durable"
)

func program(ctx durable.Context, _ int) (int, error) {
	_ = time.Now() //orpine:allow it is thrown away
	//orpine:allow it is thrown away too
	_ = time.Now()
	/* want `//orpine:allow needs a reason` */ //orpine:allow
	_ = time.Now()                             // want `time.Now tells`
	/* want `//orpine:alow is not known; there are //orpine:ordered and //orpine:allow REASON` */ //orpine:alow this
	_ = time.Now()                                                                                // want `time.Now tells`
	//orpine:ordered is for maps
	_ = time.Now() // want `time.Now tells`
	return whole() + part(), nil
}

// whole reads what never changes.
//
//orpine:allow the file is a part of the build
func whole() int {
	data, _ := os.ReadFile("x")
	return len(data)
}

func part() int {
	data, _ := os.ReadFile("x") // want `os.ReadFile reaches .* \(part is called by a program\)`
	return len(data)
}

package chance

import (
	crypto "crypto/rand"
	"hash/maphash"
	old "math/rand"
	"math/rand/v2"

	"github.com/orpine-run/orpine/durable"
)

var program = durable.NewProgram("p", func(ctx durable.Context, seed uint64) (int, error) {
	_ = old.Intn(3)        // want `rand.Intn gives another value on replay`
	_ = crypto.Text()      // want `rand.Text gives another value`
	_ = crypto.Reader      // want `rand.Reader gives another value`
	_ = maphash.MakeSeed() // want `maphash.MakeSeed gives`
	_ = rand.N(7)          // want `rand.N gives`
	rand.Shuffle(1, nil)   // want `rand.Shuffle gives`
	r := rand.New(rand.NewPCG(seed, 0))
	return r.IntN(3) + rand.IntN(3), nil // want `rand.IntN gives`
})
